import { defined } from "../../api/defined.ts";
import { readTimer, type TimerFlag } from "../arguments/timers.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { printJson, writeOut } from "../output.ts";
import { createReporter } from "../progress/reporter.ts";

/** Flags of `thaw fork`. */
export interface ForkFlags {
  count: number;
  name?: string;
  label?: Record<string, string>;
  ttl?: TimerFlag;
  json?: boolean;
}

/** `thaw fork`: prints the children's names. */
export async function fork(sandbox: string, flags: ForkFlags): Promise<void> {
  const request = {
    count: flags.count,
    ...defined({ name: flags.name, labels: flags.label, ttlMs: readTimer(flags.ttl) }),
  };
  await withClient(async (client) => {
    using reporter = createReporter(flags);
    using interrupt = abortOnSignals();
    const forked = await client.sandboxes.at(sandbox).fork(request, {
      onProgress: (progress) => reporter.show(progress),
      signal: interrupt.signal,
    });
    reporter[Symbol.dispose]();
    const children = forked.sandboxes.map(({ info }) => info);
    if (flags.json === true) printJson({ ...forked, sandboxes: children });
    else for (const { name } of children) writeOut(`${name}\n`);
  });
}
