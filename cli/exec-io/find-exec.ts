import { isSshServer } from "../../api/own-commands.ts";
import { type ExecInfo, type SandboxInfo, ThawError } from "../../client/index.ts";
import { formatCommand } from "../format/ending.ts";

function describe(exec: ExecInfo): string {
  return `${exec.id}  ${exec.state}  ${formatCommand(exec.argv, 60)}`;
}

/** A sandbox's execs, the oldest first, without the ssh servers that `thaw ssh-proxy` starts. */
export function oldestFirst(sandbox: SandboxInfo): ExecInfo[] {
  return newestFirst(sandbox)
    .filter((exec) => !isSshServer(exec))
    .reverse();
}

/** A sandbox's execs, the newest first. */
function newestFirst(sandbox: SandboxInfo): ExecInfo[] {
  return sandbox.execs.toSorted((a, b) => b.startedAt.localeCompare(a.startedAt));
}

/**
 * The exec that `reference` (an id or a unique beginning of one) names; without one the newest that is `wanted`.
 * @throws ThawError `not-found` or, when several fit, `usage`, with the execs there are.
 */
export function findExec(
  sandbox: SandboxInfo,
  reference: string | undefined,
  options: { wanted?: (exec: ExecInfo) => boolean; what?: string } = {},
): ExecInfo {
  const { wanted = () => true, what = "exec" } = options;
  const execs = newestFirst(sandbox);
  const details = execs.slice(0, 10).map(describe);
  const hint = `thaw exec -d ${sandbox.name} -- COMMAND`;
  if (reference === undefined) {
    const newest = execs.find((exec) => wanted(exec) && !isSshServer(exec));
    if (newest !== undefined) return newest;
    throw new ThawError("not-found", `sandbox ${sandbox.name} has no ${what}`, { hint, details });
  }
  const fitting = execs.filter(({ id }) => reference !== "" && id.startsWith(reference));
  const exact = fitting.find(({ id }) => id === reference) ?? (fitting.length === 1 ? fitting[0] : undefined);
  if (exact !== undefined) return exact;
  if (fitting.length === 0)
    throw new ThawError("not-found", `sandbox ${sandbox.name} has no exec ${reference}`, { hint, details });
  throw new ThawError("usage", `${fitting.length} execs of ${sandbox.name} begin with ${reference}`, {
    details: fitting.map(describe),
  });
}
