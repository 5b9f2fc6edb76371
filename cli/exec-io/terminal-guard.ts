import { spawn, spawnSync } from "node:child_process";

/** The terminal's settings as stty writes them; undefined where there is no stty. */
function readSettings(): string | undefined {
  const { status, stdout } = spawnSync("stty", ["-g"], { stdio: [0, "pipe", "ignore"], encoding: "utf8" });
  const settings = stdout?.trim();
  return status === 0 && /^[0-9a-f:]+$/.test(settings) ? settings : undefined;
}

/**
 * Changes the terminal's settings and watches over them from another process: should this one be killed, they are put back all the same,
 * unless the shell has put its own by then.
 * @param farewell what is written to the terminal then
 */
export function guardTerminal(change: () => void, farewell = ""): Disposable {
  const before = readSettings();
  change();
  const after = readSettings();
  if (before === undefined || after === undefined) return { [Symbol.dispose]: () => {} };
  // A line says that all is well; the end of the pipe without one, that we are gone.
  const script =
    'read -r line || { [ "$(stty -g <&3)" = "$2" ] && stty "$1" <&3; [ -z "$3" ] || printf %s "$3" >&3; }';
  const guard = spawn("sh", ["-c", script, "sh", before, after, farewell], {
    stdio: ["pipe", "ignore", "ignore", 0],
    detached: true,
  });
  guard.on("error", () => {});
  guard.stdin?.on("error", () => {});
  guard.unref();
  return {
    [Symbol.dispose]: () => {
      guard.stdin?.end("\n");
    },
  };
}
