/** `thaw` without a verb: the dashboard, on a terminal that can show it. */
import { chooseContext, localContext, readContexts, ThawError } from "../../client/index.ts";
import { readTerminalSize } from "../exec-io/terminal.ts";
import { isLargeEnough, LEAST } from "./draw/layout.ts";
import { Session, type SessionOptions } from "./session.ts";

const instead = "thaw ls, thaw capture ls and the like print what it shows; --json for programs";

/** @throws ThawError `usage` where the terminal can't show it, with what to use instead */
function checkTerminal(): void {
  if (process.env.TERM === "dumb")
    throw new ThawError(
      "usage",
      "the dashboard needs a terminal that can move its cursor, and TERM is dumb",
      {
        hint: instead,
      },
    );
  const { cols, rows } = readTerminalSize();
  if (!isLargeEnough({ cols, rows }))
    throw new ThawError(
      "usage",
      `the dashboard needs a terminal of ${LEAST.cols} × ${LEAST.rows}, and this one has ${cols} × ${rows}`,
      { hint: instead },
    );
}

/** Which hosts it shows: the one of `--context`, else this one and every context. */
function chooseHosts(): SessionOptions {
  const { name, remote, by } = chooseContext();
  if (by === "THAW_CONTEXT") return { hosts: [{ context: name, remote }], current: name };
  const remotes = [...readContexts().remotes].map(([context, remote]) => ({ context, remote }));
  return { hosts: [{ context: localContext, remote: undefined }, ...remotes], current: name };
}

/** Opens the dashboard. @returns the exit code when it is left */
export async function openDashboard(): Promise<number> {
  checkTerminal();
  return new Session(chooseHosts()).run();
}
