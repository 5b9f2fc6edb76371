/** `thaw` without a verb: the dashboard, on a terminal that can show it. */
import { chooseContext, localContext, type RemoteHost, readContexts, ThawError } from "../../client/index.ts";
import { measurePace, setPace } from "../../host/pace.ts";
import { readTerminalSize } from "../exec-io/terminal.ts";
import { isLargeEnough, LEAST } from "./draw/layout.ts";
import { HostFollower } from "./follow/host.ts";
import { newState } from "./state/state.ts";
import { Store } from "./state/store.ts";

const INSTEAD = "use thaw ls, thaw capture ls and similar commands instead; for programs, add --json";

/** @throws ThawError `usage` where the terminal can't show it, with what to use instead */
function checkTerminal(): void {
  if (process.env.TERM === "dumb")
    throw new ThawError(
      "usage",
      "the dashboard needs a terminal that can move the cursor, but TERM is dumb",
      {
        hint: INSTEAD,
      },
    );
  const { cols, rows } = readTerminalSize();
  if (!isLargeEnough({ cols, rows }))
    throw new ThawError(
      "usage",
      `the dashboard needs a terminal of ${LEAST.cols} × ${LEAST.rows}, but this one has ${cols} × ${rows}`,
      { hint: INSTEAD },
    );
}

/** Which hosts it shows: the one of `--context`, else this one and every context. */
function chooseHosts(): { hosts: { context: string; remote: RemoteHost | undefined }[]; current: string } {
  const { name, remote, by } = chooseContext();
  if (by === "THAW_CONTEXT") return { hosts: [{ context: name, remote }], current: name };
  const remotes = [...readContexts().remotes].map(([context, remote]) => ({ context, remote }));
  return { hosts: [{ context: localContext, remote: undefined }, ...remotes], current: name };
}

/** Opens the dashboard. Asks the hosts first, and loads what draws while they answer. @returns the exit code when it is left */
async function open(): Promise<number> {
  checkTerminal();
  const { hosts, current } = chooseHosts();
  const names = hosts.map(({ context }) => context);
  const store = new Store(newState(names, readTerminalSize(), Date.now()));
  const abort = new AbortController();
  const followers = hosts.map((host) => new HostFollower({ ...host, store, signal: abort.signal }));
  for (const follower of followers) void follower.follow();
  const { Session } = await import("./session.ts");
  return new Session({ store, followers, current, abort }).run();
}

/** @param argv `--context NAME` or nothing. Never throws. @returns the exit code */
export async function runDashboard(argv: readonly string[]): Promise<number> {
  setPace(measurePace());
  const context = argv[1] ?? argv[0]?.slice("--context=".length);
  if (context !== undefined) process.env.THAW_CONTEXT = context;
  try {
    return await open();
  } catch (error) {
    const { reportFailure } = await import("../failure.ts");
    return reportFailure(error, argv);
  }
}
