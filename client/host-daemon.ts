/** The host's own daemon, that `thaw daemon install --system` sets up: one for every user of a group. */
import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { paced } from "../host/pace.ts";
import { HOST_UNIT } from "../host/systemd-units.ts";

const ASK_SYSTEMD_MS = 5_000;
/** Units in these states have no daemon, and get none by waiting. */
const DOWN = /^(inactive|failed|unknown|)$/;

export const hostDaemon = {
  home: "/var/lib/thaw",
  socket: "/run/thaw/thaw.sock",
  group: "thaw",
  unit: HOST_UNIT,
  /** Prints what it has logged. */
  logs: "journalctl -u thaw",
} as const;

/** Whether there is one that this user may use. */
export function hasHostDaemon({ unit, socket }: { unit: string; socket: string } = hostDaemon): boolean {
  if (!existsSync(unit)) return false;
  if (process.getuid?.() === 0) return true;
  // While it is started again there is no socket whose rights would tell.
  if (!existsSync(socket)) return isMember(hostDaemon.group);
  try {
    accessSync(socket, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isMember(group: string): boolean {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${group}:`));
  return process.getgroups?.().includes(Number(line?.split(":")[2])) ?? false;
}

/** Whether systemd runs it or is about to: a daemon that was killed is away until its successor listens. Never rejects. */
export async function isKeptBySystemd(): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(
      "systemctl",
      ["is-active", "thaw.service"],
      { timeout: paced(ASK_SYSTEMD_MS) },
      (_error, state) => resolve(!DOWN.test(state.trim())),
    );
  });
}
