import { join } from "node:path";

/** The daemon's log of a home. */
export function findDaemonLog(home: string): string {
  return join(home, "daemon.log");
}
