/** The built command, run as a user runs it, against the run's own state folder. */
import { readFileSync } from "node:fs";
import { execa, type Options } from "execa";
import { inject } from "vitest";

export const thawBin = "dist/thaw.mjs";

export function thawEnv(): Record<string, string> {
  return { THAW_HOME: inject("thawHome"), NO_COLOR: "1" };
}

/** Never rejects on an exit code: tests look at it. */
export function thaw(args: string[], options: Options = {}) {
  return execa(process.execPath, [thawBin, ...args], {
    reject: false,
    timeout: 300_000,
    stripFinalNewline: false,
    ...options,
    env: { ...thawEnv(), ...(options.env ?? {}) },
  });
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

export async function daemonPid(): Promise<number> {
  const { pid } = await thawJson<{ pid: number }>(["daemon", "status"]);
  return pid;
}

/** SIGKILL, and gone for sure. */
export async function killDaemon(): Promise<void> {
  const pid = await daemonPid();
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(pid), "the daemon to die");
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits for a condition, not for a time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 20_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Machines of this run's state folder: their processes name their sandbox. */
export async function machineProcesses(id: string): Promise<number[]> {
  const { stdout } = await execa("pgrep", ["-f", `thaw-${id}`], { reject: false });
  return String(stdout).split("\n").filter(Boolean).map(Number).filter(isAlive);
}
