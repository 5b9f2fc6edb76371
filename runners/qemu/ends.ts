/** What QEMU's run states and events say about how a machine ended. */
import type { MachineEnd } from "../runner.ts";
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

function diskEnd(full: boolean, reason: string): MachineEnd {
  const detail = full
    ? "the host's disk is full; free space and resume"
    : `the machine's disk failed: ${reason.slice(0, 200)}`;
  return { kind: "disk-full", detail };
}
