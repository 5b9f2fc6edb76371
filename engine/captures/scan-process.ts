/**
 * Scans in a process of its own: it reads hundreds of megabytes, and the daemon serves meanwhile. Machines go before it, but it is not starved,
 * since somebody may wait to publish what it reads. It is what the kernel ends first when memory runs out. A line of JSON goes in, one comes
 * out; it ends when its daemon does.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { type SecretScan, secretScan } from "../../api/case-file.ts";
import { SecretMatcher } from "../secrets/matcher.ts";
import type { SealedSecrets } from "../secrets/sealed.ts";
import type { CapturePart } from "./case-file.ts";
import { type Scanned, scanCapture } from "./scan.ts";

const FIRST_TO_END = "500";
/** Under load a third of what a machine gets. */
const NICE = 5;

export interface ScanJob {
  capture: Scanned<CapturePart>;
  /** The snapshot that leaves with it, when what ran in a sandbox is in that too. */
  base: Scanned | null;
  secrets: SealedSecrets | null;
}

/** @param script the bundle that calls `serveScan`. Rejects with the process's own words when a part can't be read. */
export async function scanInProcess(script: string, job: ScanJob, signal: AbortSignal): Promise<SecretScan> {
  const child = spawn(process.execPath, [script], { stdio: "pipe", env: {}, cwd: "/", signal });
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, killed) => resolve(String(killed ?? code)));
  });
  child.stdin.on("error", () => {});
  child.stdin.write(`${JSON.stringify(job)}\n`);
  const [how, said, complaint] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (how !== "0") throw new Error(complaint.trim() || `the scan for secrets ended (${how})`);
  return secretScan.parse(JSON.parse(said));
}

/** The process's side. */
export function serveScan(): void {
  setPriority(NICE);
  writeFileSync("/proc/self/oom_score_adj", FIRST_TO_END);
  const lines = createInterface({ input: process.stdin });
  lines.once("close", () => process.exit(1));
  lines.once("line", (line) => void answer(JSON.parse(line)));
}

async function answer({ capture, base, secrets }: ScanJob): Promise<void> {
  try {
    const scan = await scanCapture(capture, base, SecretMatcher.of(secrets), new AbortController().signal);
    process.stdout.write(JSON.stringify(scan), () => process.exit(0));
  } catch (error) {
    process.stderr.write((error as Error).message, () => process.exit(1));
  }
}
