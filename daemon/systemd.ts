/** What a daemon that systemd started knows of it. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * The command that starts this daemon again, e.g. `sudo systemctl restart thaw.service`; undefined when systemd did not start it. One that a client
 * started from a service is in that service's cgroup too, but has no socket to notify.
 * @param cgroups of the process, as in /proc/self/cgroup
 */
export function findRestartCommand(
  notifySocket = process.env.NOTIFY_SOCKET,
  cgroups = readFileSync("/proc/self/cgroup", "utf8"),
): string | undefined {
  const path = /^\d+:(?:name=systemd)?:(\S*\/([\w@:.\\-]+\.service))$/m.exec(cgroups);
  if (notifySocket === undefined || path === null) return undefined;
  const [, whole = "", unit] = path;
  return /\/user@\d+\.service\//.test(whole)
    ? `systemctl --user restart ${unit}`
    : `sudo systemctl restart ${unit}`;
}

/**
 * Tells systemd that this service is ready (sd_notify(3)): what `systemctl start` and units after it wait for. Resolves when it was told, or could
 * not be. Does nothing where systemd did not start this process. Node has no datagram sockets of the unix kind, so systemd-notify(1) sends it.
 */
export async function tellSystemdReady(): Promise<void> {
  const { NOTIFY_SOCKET } = process.env;
  if (NOTIFY_SOCKET === undefined) return;
  // Nothing else that is started from here speaks for the service.
  delete process.env.NOTIFY_SOCKET;
  const child = spawn("systemd-notify", ["--ready", `--pid=${process.pid}`], {
    env: { PATH: process.env.PATH, NOTIFY_SOCKET },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once("exit", () => resolve());
  child.once("error", (error) => {
    process.stderr.write(`can't notify systemd: ${error.message}\n`);
    resolve();
  });
  await promise;
}
