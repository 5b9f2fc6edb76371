/**
 * The folder of a machine's sockets, as its keeper makes it. It belongs to the keeper's user; of what is in it the machine can write to `work`
 * only, and sees `host` besides. Shared with runners/native/src/protocol.rs.
 */
import { dirname, join } from "node:path";
import type { MachineRecord } from "../runner.ts";
import { JAIL_HOST_DIR, JAIL_RUNTIME_DIR } from "./jail.ts";

export const KEEPER_SOCKET = "keeper.sock";
/** How the machine ended; there before anybody is told. */
export const END_FILE = "end.json";
/** Of the sockets in it, the one with the longest path. */
export const LONGEST_SOCKET = "work/migrate.sock";
const WORK_DIR = "work";
const HOST_DIR = "host";

type Place = Pick<MachineRecord, "runtimeDir">;

/** The folder that the machine writes to: nothing in it may be followed, and nothing in it be given away by name. */
export function workDir({ runtimeDir }: Place): string {
  return join(runtimeDir, WORK_DIR);
}

/** The folder of sockets that the host makes for the machine. The machine can connect to them and change nothing. */
export function hostDir({ runtimeDir }: Place): string {
  return join(runtimeDir, HOST_DIR);
}

/** The host's folder as the machine sees it. @param workDirInside its own folder, as it sees it */
export function hostDirInside(workDirInside: string): string {
  return workDirInside === JAIL_RUNTIME_DIR ? JAIL_HOST_DIR : join(dirname(workDirInside), HOST_DIR);
}
