/** Takes up a machine that another process started, through its keeper. */
import { hostBoot } from "../host/host-boot.ts";
import { Keeper, type KeeperStatus } from "../host/keeper.ts";
import { type MachineEnd, type MachineRecord, RunnerError } from "../runner.ts";
import type { Context } from "./context.ts";
import { endOf } from "./ends.ts";
import { GvisorMachine } from "./machine.ts";
import { Runsc } from "./runsc.ts";

/** Rejects with `machine-gone` and how it ended, or with `unresponsive`. */
export async function adopt(context: Context, record: MachineRecord): Promise<GvisorMachine> {
  const keeper = new Keeper(context.tools, record);
  const status = await keeper.status();
  if (status?.end !== null) throw gone(record, status ?? (await keeper.recordedEnd()));
  await answers(context, record);
  return new GvisorMachine(context, record, keeper);
}

/** A paused one answers too. */
async function answers(context: Context, record: MachineRecord): Promise<void> {
  try {
    await new Runsc(context, record).ping();
  } catch (cause) {
    const message = `the sandbox of machine ${record.id} does not answer: ${(cause as Error).message}`;
    throw new RunnerError("unresponsive", message, { cause });
  }
}

function gone(record: MachineRecord, status: KeeperStatus | undefined): RunnerError {
  const restarted = record.hostBoot !== undefined && record.hostBoot !== hostBoot();
  const end: MachineEnd = restarted
    ? { kind: "exited", detail: "the host was restarted" }
    : endOf(status, record);
  const detail = "detail" in end ? end.detail : end.kind;
  return new RunnerError("machine-gone", `machine ${record.id} has ended: ${detail}`, { end });
}
