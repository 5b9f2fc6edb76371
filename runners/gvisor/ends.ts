/** How a machine ended, as its keeper knows. */
import { constants } from "node:os";
import type { KeeperStatus } from "../host/keeper.ts";
import type { MachineEnd, MachineRecord } from "../runner.ts";

/** @param status undefined when the keeper went and wrote nothing down */
export function endOf(
  status: KeeperStatus | undefined,
  { id, resources }: Pick<MachineRecord, "id" | "resources">,
): MachineEnd {
  const end = status?.end ?? null;
  if (end === null)
    return { kind: "exited", detail: `the keeper of ${id} was killed, and its machine with it` };
  if (end.kind === "out-of-memory") {
    const detail = `the sandbox of ${id} was killed: out of memory (${resources.memoryMib} MiB, files that it wrote included)`;
    return { kind: "exited", detail, cause: "out-of-memory" };
  }
  if (end.kind === "signal") {
    const name = Object.entries(constants.signals).find(([, value]) => value === end.signal)?.[0];
    const detail = `the sandbox of ${id} was killed by ${name ?? `signal ${end.signal}`}`;
    return { kind: "exited", detail, cause: "signal" };
  }
  // The agent's own exit code, when it ends the machine.
  if (end.code === 0) return { kind: "powered-off" };
  const said = status?.stderr.trim().split("\n").at(-1);
  const detail = `the sandbox of ${id} ended with exit code ${end.code}${said ? `: ${said}` : ""}`;
  return { kind: "exited", detail, cause: "exit" };
}
