/** Tells systemd that this service is ready (sd_notify(3)): what `systemctl start` and units after it wait for. */
import { spawn } from "node:child_process";

/**
 * Resolves when it was told, or could not be. Does nothing where systemd did not start this process. Node has no datagram sockets of the unix
 * kind, so systemd-notify(1) sends it.
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
    process.stderr.write(`systemd can't be told: ${error.message}\n`);
    resolve();
  });
  await promise;
}
