/** Takes up a machine that another process started, through its keeper. */
import { join } from "node:path";
import { hostBoot } from "../host/host-boot.ts";
import { Keeper } from "../host/keeper.ts";
import { type MachineEnd, type MachineRecord, RunnerError } from "../runner.ts";
import { QMP_SOCKET } from "./argv.ts";
import type { Context } from "./context.ts";
import { endOfProcess } from "./ends.ts";
import { liveOperations } from "./live-operations.ts";
import { QemuMachine } from "./machine.ts";
import { QmpClient } from "./qmp.ts";
import { connectUnix } from "./unix-socket.ts";

/** Rejects with `machine-gone` and how it ended, or with `unresponsive` when it has not ended and does not answer. */
export async function adopt(context: Context, record: MachineRecord): Promise<QemuMachine> {
  const keeper = new Keeper(context.tools, record);
  const status = await keeper.status();
  if (status?.end !== null) throw gone(record, status ?? (await keeper.recordedEnd()));
  try {
    const qmp = await QmpClient.open(await connectUnix(join(record.runtimeDir, QMP_SOCKET)));
    qmp.unref();
    const machine = new QemuMachine({ record, qmp, keeper, live: liveOperations(context) });
    await machine.catchUp().catch(async (error: unknown) => {
      await machine.detach();
      throw error;
    });
    return machine;
  } catch (cause) {
    // It may have ended meanwhile.
    const now = await keeper.status();
    if (now?.end !== null) throw gone(record, now ?? (await keeper.recordedEnd()));
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RunnerError("unresponsive", `machine ${record.id} runs but does not answer: ${why}`, {
      cause,
    });
  }
}

/** Nothing of a machine but its files outlives its host's boot. */
function restarted({ hostBoot: then }: MachineRecord): boolean {
  return then !== undefined && then !== hostBoot();
}

function gone(record: MachineRecord, status: Parameters<typeof endOfProcess>[0]): RunnerError {
  const end: MachineEnd = restarted(record)
    ? { kind: "exited", detail: "the host was restarted" }
    : endOfProcess(status, record);
  const detail = end.kind === "exited" ? end.detail : end.kind;
  return new RunnerError("machine-gone", `machine ${record.id} has ended: ${detail}`, { end });
}
