/** Whose a port of this host is: which program listens at it, as far as this user may see. */
import { readdir, readFile, readlink } from "node:fs/promises";

const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"];
const LISTEN = "0A";
/** Open files looked at. */
const MAX_LINKS = 20_000;

/** @returns words such as `nginx (process 812)`; null: it can't be told */
export async function holderOf(port: number): Promise<string | null> {
  const inodes = new Set((await Promise.all(TABLES.map((table) => listenersAt(table, port)))).flat());
  if (inodes.size === 0) return null;
  const pid = await processWith(new Set([...inodes].map((inode) => `socket:[${inode}]`)));
  if (pid === null) return null;
  if (pid === process.pid) return "this daemon itself: another sandbox's forward (thaw ls), or previews";
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return `${name.trim() || "a program"} (process ${pid})`;
}

/** Inodes of sockets that listen at the port, on whatever address. */
async function listenersAt(table: string, port: number): Promise<string[]> {
  const text = await readFile(table, "latin1").catch(() => "");
  const place = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => state === LISTEN && local.endsWith(place))
    .map((fields) => fields[9] ?? "");
}

async function processWith(sockets: ReadonlySet<string>): Promise<number | null> {
  let links = MAX_LINKS;
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids)
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      links -= 1;
      if (links < 0) return null;
      if (sockets.has(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""))) return Number(pid);
    }
  return null;
}
