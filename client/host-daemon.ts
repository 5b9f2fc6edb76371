/** The host's own daemon, that `thaw daemon install --system` sets up: one for every user of a group. */
import { accessSync, constants, existsSync } from "node:fs";

export const hostDaemon = {
  home: "/var/lib/thaw",
  socket: "/run/thaw/thaw.sock",
  group: "thaw",
  unit: "/etc/systemd/system/thaw.service",
  /** Prints what it has logged. */
  logs: "journalctl -u thaw",
} as const;

/** Whether there is one that this user may use. */
export function hasHostDaemon({ unit, socket }: { unit: string; socket: string } = hostDaemon): boolean {
  if (!existsSync(unit)) return false;
  if (process.getuid?.() === 0) return true;
  try {
    accessSync(socket, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
