import type { Exec as ExecInfo } from "../../api/schema.ts";

/** The newest command that runs, else the newest. */
export function chooseExec(execs: readonly ExecInfo[]): ExecInfo | undefined {
  const newest = execs.toSorted((a, b) => b.startedAt.localeCompare(a.startedAt));
  return newest.find(({ state }) => state === "running" || state === "starting") ?? newest[0];
}
