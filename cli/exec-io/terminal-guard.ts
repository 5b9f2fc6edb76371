import { spawn, spawnSync } from "node:child_process";

/**
 * Watches over the terminal's settings from another process: should this one be killed, they are put back all the same. Nothing happens
 * where there is no stty.
 */
export function guardTerminal(): Disposable {
  const none = { [Symbol.dispose]: () => {} };
  const saved = spawnSync("stty", ["-g"], { stdio: [0, "pipe", "ignore"], encoding: "utf8" });
  const settings = saved.stdout?.trim();
  if (saved.status !== 0 || settings === undefined || !/^[0-9a-f:]+$/.test(settings)) return none;
  // A line says that all is well; the end of the pipe without one, that we are gone.
  const guard = spawn("sh", ["-c", 'read -r line || stty "$1" <&3', "sh", settings], {
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
