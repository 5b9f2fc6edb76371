import { defined } from "../../api/defined.ts";
import type { CreateRequest } from "../../client/index.ts";
import { type ForwardFlags, readForwards } from "../arguments/forward.ts";
import { type NetworkFlags, readNetwork } from "../arguments/network.ts";
import { readSource, type SourceFlags } from "../arguments/source.ts";
import { readTimers, type TimerFlags } from "../arguments/timers.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { sayUnavailable } from "../network/unavailable.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";
import { bringSource } from "../travel/bring.ts";

/** Flags of `thaw create`. */
export interface CreateFlags extends SourceFlags, TimerFlags, NetworkFlags, ForwardFlags {
  name?: string;
  label?: Record<string, string>;
  cpus?: number;
  /** MiB. */
  memory?: number;
  verbose?: boolean;
  json?: boolean;
}

async function planCreate(flags: CreateFlags): Promise<CreateRequest> {
  return {
    source: await readSource(flags),
    ...readTimers(flags),
    ...readNetwork(flags),
    ...readForwards(flags),
    ...defined({ name: flags.name, labels: flags.label, cpus: flags.cpus, memoryMib: flags.memory }),
  };
}

/** `thaw create`: prints the new sandbox's name. */
export async function create(flags: CreateFlags): Promise<void> {
  const request = await planCreate(flags);
  await withClient(async (client) => {
    const source = await bringSource(client, request.source, flags);
    using reporter = createReporter(flags);
    using interrupt = abortOnSignals();
    const sandbox = await client.sandboxes.create(
      { ...request, ...source },
      {
        onProgress: (progress) => reporter.show(progress),
        signal: interrupt.signal,
      },
    );
    reporter[Symbol.dispose]();
    sayUnavailable(sandbox.info);
    if (flags.json === true) printJson(sandbox.info);
    else writeOut(`${sandbox.name}\n`);
  });
}
