/** What QEMU's run states and events say about how a machine ended. */
import { constants } from "node:os";
import type { KeeperStatus } from "../host/keeper.ts";
import type { MachineEnd, MachineRecord } from "../runner.ts";
import { overheadMib } from "./limits.ts";
import type { QmpEvent } from "./qmp.ts";

/** An event that ends a machine, or holds it until the host is mended. Others give undefined. */
export function endOfEvent(event: QmpEvent): MachineEnd | undefined {
  switch (event.name) {
    case "SHUTDOWN":
      return event.data.reason === "guest-reset" ? { kind: "rebooted" } : { kind: "powered-off" };
    case "GUEST_PANICKED":
      return { kind: "panicked" };
    case "BLOCK_IO_ERROR":
      if (event.data.action !== "stop") return undefined;
      return diskEnd(event.data.nospace === true, String(event.data.reason ?? ""));
    default:
      return undefined;
  }
}

/**
 * The end behind a run state, for a process that was away when it happened.
 * @param consoleTail last lines of the guest's console: QEMU does not remember whether a shutdown was a reset, the kernel's last words tell
 */
export function endOfStatus(status: string, consoleTail: string): MachineEnd | undefined {
  switch (status) {
    case "shutdown":
      return /reboot: (Power down|System halted)/.test(consoleTail)
        ? { kind: "powered-off" }
        : { kind: "rebooted" };
    case "guest-panicked":
      return { kind: "panicked" };
    case "io-error":
      return diskEnd(true, "");
    case "internal-error":
      return { kind: "exited", detail: "QEMU reports an internal error of the virtual CPU" };
    default:
      return undefined;
  }
}

/** How a process ended, as its keeper knows. @param status undefined when the keeper went and wrote nothing down */
export function endOfProcess(
  status: KeeperStatus | undefined,
  { id, resources, needs }: Pick<MachineRecord, "id" | "resources" | "needs">,
): MachineEnd {
  const end = status?.end ?? null;
  const said = status?.stderr.trim() ?? "";
  if (end === null)
    return { kind: "exited", detail: `the keeper of ${id} was killed, and its machine with it` };
  switch (end.kind) {
    case "out-of-memory": {
      const mib = resources.memoryMib + overheadMib(needs.accelerator);
      const detail = `QEMU of ${id} was killed: out of memory (${mib} MiB are its own limit)`;
      return { kind: "exited", detail, cause: "out-of-memory" };
    }
    case "signal":
      return {
        kind: "exited",
        detail: `QEMU of ${id} was killed by ${signalName(end.signal)}`,
        cause: "signal",
      };
    case "exit":
      return {
        kind: "exited",
        detail: said || `QEMU of ${id} ended with exit code ${end.code}`,
        cause: "exit",
      };
  }
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

function diskEnd(full: boolean, reason: string): MachineEnd {
  const detail = full ? "the host's disk is full" : `the machine's disk failed: ${reason.slice(0, 200)}`;
  return { kind: full ? "disk-full" : "disk-failed", detail };
}
