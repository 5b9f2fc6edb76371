/** Why a user who is not root can't have user namespaces, or no ranges of uids in them: what was read, and the exact repair. */
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";

export interface Obstacle {
  reason: string;
  /** Commands to type. */
  hint: string;
}

interface Switch {
  /** Below /proc/sys. */
  path: string;
  /** What it reads as where namespaces are forbidden. */
  forbids: string;
  allows: string;
  reason: string;
}

const SWITCHES: readonly Switch[] = [
  {
    path: "user/max_user_namespaces",
    forbids: "0",
    allows: "15000",
    reason: "user namespaces are turned off",
  },
  {
    path: "kernel/unprivileged_userns_clone",
    forbids: "0",
    allows: "1",
    reason: "user namespaces are for root only",
  },
  {
    path: "kernel/apparmor_restrict_unprivileged_userns",
    forbids: "1",
    allows: "0",
    reason: "AppArmor restricts user namespaces",
  },
];

/** To be asked when one could not be made: a profile of AppArmor may allow what its switch forbids. @param root where the kernel's switches are */
export async function forbiddenNamespaces(root = "/proc/sys"): Promise<Obstacle | undefined> {
  for (const { path, forbids, allows, reason } of SWITCHES) {
    const found = await readFile(join(root, path), "utf8").catch(() => "");
    if (found.trim() !== forbids) continue;
    const name = path.replaceAll("/", ".");
    return {
      reason: `${reason} (${name} = ${forbids})`,
      hint: `echo ${name}=${allows} | sudo tee /etc/sysctl.d/60-thaw.conf && sudo sysctl --system, or run the daemon as root`,
    };
  }
  return undefined;
}

/** Fewer ids than this and a Debian root has owners that can't be mapped. */
const NEEDED_IDS = 65_536;

/** Whether `/etc/subuid` and `/etc/subgid` give this user the ids that a root file system's owners are mapped to. */
export async function lackingRanges(
  { username, uid }: { username: string; uid: number } = userInfo(),
  etc = "/etc",
): Promise<Obstacle | undefined> {
  const lacking: string[] = [];
  for (const file of ["subuid", "subgid"]) {
    const text = await readFile(join(etc, file), "utf8").catch(() => "");
    const ids = text
      .split("\n")
      .map((line) => line.trim().split(":"))
      .filter(([owner]) => owner === username || owner === String(uid))
      .reduce((sum, [, , count]) => sum + (Number(count) || 0), 0);
    if (ids < NEEDED_IDS) lacking.push(file);
  }
  if (lacking.length === 0) return undefined;
  const files = lacking.map((file) => `${etc}/${file}`).join(" and ");
  const flags = lacking.map((file) => (file === "subuid" ? "--add-subuids" : "--add-subgids"));
  return {
    reason: `${username} has fewer than ${NEEDED_IDS} ids in ${files}`,
    hint: `sudo usermod ${flags.map((flag) => `${flag} 100000-165535`).join(" ")} ${username}`,
  };
}
