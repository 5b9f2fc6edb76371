/** Starts a machine's sandbox beneath a keeper. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../../host/pace.ts";
import { hostBoot } from "../host/host-boot.ts";
import { Keeper, startKeeper } from "../host/keeper.ts";
import { KEEPER_SOCKET } from "../host/machine-dir.ts";
import { checkSocketPath } from "../host/socket-path.ts";
import {
  type MachineNeeds,
  type MachinePlace,
  type MachineRecord,
  type Resources,
  RunnerError,
} from "../runner.ts";
import { runscOptions } from "./bundle.ts";
import { corrupt, unpackCheckpoint } from "./checkpoint.ts";
import { type Context, RUNNER_NAME, runtimeDirOf } from "./context.ts";
import { checkImage } from "./image.ts";
import { GvisorMachine } from "./machine.ts";
import { makeFiles, removeFiles } from "./place.ts";
import { Runsc, stateRoot } from "./runsc.ts";

const MIB = 2 ** 20;
/** The sandbox's own kernel and its tables, beside the guest's memory and files. */
export const OVERHEAD_MIB = 160;
/** Threads on the host: each of the guest has some, in the sandbox and in its stubs. */
const PROCESSES = 16_384;
/** No file of the sandbox's is longer. Its memory is one, with holes. */
const FILE_BYTES = 2 ** 43;
const START_TIMEOUT_MS = 30_000;
const POLL_MS = 2;

export interface StartOptions extends MachinePlace {
  resources: Resources;
  needs: MachineNeeds;
  /** The root image. */
  root: string;
  /** The checkpoint to go on from; absent: a cold boot. */
  from?: { memory: string; state: string } | undefined;
  background?: boolean | undefined;
}

/** Resolves when the machine runs. On rejection nothing is left. */
export async function start(
  context: Context,
  options: StartOptions,
  signal?: AbortSignal,
): Promise<GvisorMachine> {
  const { id, stateDir, resources, needs } = options;
  const runtimeDir = runtimeDirOf(context, options);
  checkSocketPath(join(runtimeDir, KEEPER_SOCKET));
  const within = signal ?? new AbortController().signal;
  const keeper = new Keeper(context.tools, { id, runtimeDir });
  await keeper.makeWay();
  const { path } = await context.facts();
  try {
    await checkImage(options.root);
    const files = await makeFiles({ stateDir, cpus: resources.cpus }, options.root);
    const how = ["--bundle", files.bundle];
    if (options.from !== undefined) {
      await unpackCheckpoint(options.from, files.image);
      how.push("--image-path", files.image);
    }
    const verb = options.from === undefined ? "run" : "restore";
    const { uid } = await startKeeper(
      context.tools,
      {
        ...{ id, dir: runtimeDir, cgroup: context.tools.cgroup, inherit: [] },
        ...{ jailed: false, kvm: false, bindings: [], own: [] },
        gvisor: {
          ...{ memoryBytes: resources.memoryMib * MIB, input: files.toAgent, output: files.fromAgent },
        },
        limits: {
          memoryBytes: (resources.memoryMib + OVERHEAD_MIB) * MIB,
          ...{
            processes: PROCESSES,
            cpus: resources.cpus,
            fileBytes: FILE_BYTES,
            background: options.background,
          },
        },
        command: [path, ...runscOptions(stateRoot({ runtimeDir })), verb, ...how, id],
      },
      within,
    );
    const record: MachineRecord = {
      ...{ runner: RUNNER_NAME, id, runtimeDir, stateDir, isolation: "gvisor", uid, resources, needs },
      ...{ imported: false, hostBoot: hostBoot() },
    };
    await untilRunning(context, keeper, record, { state: options.from?.state, signal: within });
    await rm(files.image, { recursive: true, force: true });
    return new GvisorMachine(context, record, keeper);
  } catch (error) {
    await keeper.end();
    await removeFiles({ stateDir });
    throw error;
  }
}

/** runsc tells nobody when it has restored a machine, so it is asked. */
async function untilRunning(
  context: Context,
  keeper: Keeper,
  record: MachineRecord,
  { state, signal }: { state: string | undefined; signal: AbortSignal },
): Promise<void> {
  const runsc = new Runsc(context, record);
  const deadline = performance.now() + paced(START_TIMEOUT_MS);
  for (;;) {
    signal.throwIfAborted();
    if ((await runsc.notedStatus()) === "running") return;
    const status = await keeper.status();
    if (status?.end !== null) {
      const said = status?.stderr.trim() || "no message";
      // By itself: it refused what it was given.
      if (state !== undefined && status?.end.kind === "exit")
        throw corrupt(state, `can't be restored: ${said.split("\n").slice(-3).join("; ")}`);
      throw new RunnerError("start-failed", `gVisor did not start machine ${record.id}: ${said}`, {
        hint: "gVisor needs ptrace(2) and user namespaces, which a container's seccomp profile or a sysctl may forbid",
      });
    }
    if (performance.now() > deadline)
      throw new RunnerError("timeout", `gVisor did not start machine ${record.id} in time`);
    await sleep(POLL_MS, undefined, { signal });
  }
}
