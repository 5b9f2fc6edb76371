/** Starts a QEMU process under a keeper of its own, in the jail or not, so that it outlives this one. */
import { join } from "node:path";
import { paced } from "../../host/pace.ts";
import { Keeper, startKeeper } from "../host/keeper.ts";
import { type MachineNeeds, type Resources, RunnerError } from "../runner.ts";
import { QMP_SOCKET } from "./argv.ts";
import type { Confinement, Context } from "./context.ts";
import { machineLimits } from "./limits.ts";
import { QmpClient } from "./qmp.ts";
import { connectUnix } from "./unix-socket.ts";

const EXIT_NOTICE_MS = 500;

export interface LaunchOptions {
  id: string;
  qemuPath: string;
  /** Made by the keeper. */
  runtimeDir: string;
  confinement: Confinement;
  accelerator: MachineNeeds["accelerator"];
  resources: Resources;
  /** Nobody waits for it. */
  background?: boolean | undefined;
  /** Open descriptors QEMU inherits; the first becomes `INHERITED_FD`, and so on. */
  inherit: readonly number[];
  argv: string[];
  timeoutMs: number;
  signal: AbortSignal;
}

export interface Launched {
  qmp: QmpClient;
  keeper: Keeper;
  /** User id of QEMU on the host. */
  uid: number;
}

/** Resolves when QEMU answers on QMP. On rejection the process is dead and the runtime folder gone. */
export async function launch(context: Context, options: LaunchOptions): Promise<Launched> {
  const { id, runtimeDir, confinement, signal } = options;
  const keeper = new Keeper(context.tools, { id, runtimeDir });
  await keeper.makeWay();
  const { uid } = await startKeeper(
    context.tools,
    {
      ...{ id, dir: runtimeDir, cgroup: context.tools.cgroup, inherit: options.inherit },
      ...{ jailed: confinement.jailed, bindings: confinement.bindings, own: confinement.own },
      kvm: options.accelerator === "kvm",
      limits: {
        ...machineLimits(options.resources, options.accelerator),
        background: options.background,
      },
      command: [options.qemuPath, ...options.argv],
    },
    signal,
  );
  const watch = keeper.watch();
  try {
    const exited = new AbortController();
    void watch.ended.then((end) =>
      exited.abort(
        new RunnerError("start-failed", `QEMU did not start: ${end?.stderr.trim() || "no message"}`),
      ),
    );
    const either = AbortSignal.any([signal, exited.signal]);
    try {
      const socket = await connectUnix(join(runtimeDir, QMP_SOCKET));
      const qmp = await QmpClient.open(socket, { signal: either, greetingTimeoutMs: options.timeoutMs });
      qmp.unref();
      return { qmp, keeper, uid };
    } catch (error) {
      // Its socket closes a moment before it is seen to have ended.
      await Promise.race([watch.ended, new Promise((resolve) => setTimeout(resolve, paced(EXIT_NOTICE_MS)))]);
      either.throwIfAborted();
      throw error;
    }
  } catch (error) {
    await keeper.end();
    throw error;
  } finally {
    watch.close();
  }
}
