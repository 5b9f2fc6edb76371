/** The built command, run as a user runs it, against the run's own state folder. */
import { readFileSync } from "node:fs";
import { execa, type Options } from "execa";

import { noteCommand } from "./commands.ts";
import { isAlive, until } from "./processes.ts";
import { testHome } from "./test-home.ts";

export { isAlive, until };

export const thawBin = "dist/thaw.mjs";

export function thawEnv(): Record<string, string> {
  const home = testHome();
  return { THAW_HOME: home, THAW_CONFIG: `${home}/config`, NO_COLOR: "1" };
}

/** Never rejects on an exit code: tests look at it. What it wrote is told with a test that fails. */
export function thaw(args: string[], options: Options = {}) {
  const ended = execa(process.execPath, [thawBin, ...args], {
    reject: false,
    timeout: 300_000,
    stripFinalNewline: false,
    ...options,
    env: { ...thawEnv(), ...(options.env ?? {}) },
  });
  void ended.then(({ exitCode, signal, stderr }) => noteCommand(args, exitCode ?? signal, String(stderr)));
  return ended;
}

export async function thawJson<T>(args: string[]): Promise<T> {
  const { stdout, stderr, exitCode } = await thaw([...args, "--json"]);
  if (exitCode !== 0) throw new Error(`thaw ${args.join(" ")}: exit ${exitCode}: ${stderr}`);
  return JSON.parse(String(stdout)) as T;
}

export interface SandboxRow {
  id: string;
  name: string;
  state: string;
  isolation: string;
  reason: string | null;
}

/** Waits until there is a daemon: the one that a client starts after a kill may need its time. */
export async function daemonPid(): Promise<number> {
  let found: number | undefined;
  await until(async () => {
    const { stdout, exitCode } = await thaw(["daemon", "status", "--json"]);
    if (exitCode === 0) found = (JSON.parse(String(stdout)) as { pid: number }).pid;
    return found !== undefined;
  }, "a daemon that answers");
  return found ?? 0;
}

/** SIGKILL, and gone for sure. */
export async function killDaemon(): Promise<void> {
  const pid = await daemonPid();
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(pid), "the daemon to die");
}

/** Machines of this run's state folder: their processes name their sandbox. */
export async function machineProcesses(id: string): Promise<number[]> {
  const { stdout, exitCode, message } = await execa("pgrep", ["-f", `thaw-${id}`], { reject: false });
  if (exitCode !== 0 && exitCode !== 1) throw new Error(message);
  return String(stdout).split("\n").filter(Boolean).map(Number).filter(isAlive);
}

/** Has a sandbox's hypervisor stand still, or the keeper that alone can end that: it answers nothing until it gets SIGCONT. */
export async function standStill(id: string, which: "thaw-vm" | "thaw-keeper" = "thaw-vm"): Promise<number> {
  const all = await machineProcesses(id);
  const pid = all.find((one) => readFileSync(`/proc/${one}/comm`, "utf8") === `${which}\n`);
  if (pid === undefined) throw new Error(`there is no ${which} of ${id} among ${all.join(", ")}`);
  process.kill(pid, "SIGSTOP");
  return pid;
}

/** How far a guest's clock is from this host's, in seconds. It was read at some time since `sinceMs`. */
export function secondsOff(guestSeconds: number, sinceMs: number): number {
  return Math.max(0, sinceMs / 1000 - guestSeconds, guestSeconds - Date.now() / 1000);
}
