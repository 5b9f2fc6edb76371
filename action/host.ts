/** What a host lacks. On a runner of GitHub's own it is installed; elsewhere the line to type is told. */
import { execFile } from "node:child_process";
import { access, constants, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { type DoctorReport, type Probe, type Thaw, ThawError } from "../client/index.ts";
import type { GuestLog } from "./log.ts";

const run = promisify(execFile);
const APT_DEADLINE_MS = 300_000;

/** Packages that the doctor's hints name. */
export function packagesIn(probes: readonly Probe[]): string[] {
  const missing = probes.filter(({ state }) => state === "missing");
  const named = missing.flatMap(
    ({ hint = "" }) => /apt-get install ((?:[a-z0-9][a-z0-9+.-]+ ?)+)/.exec(hint)?.[1]?.split(" ") ?? [],
  );
  return [...new Set(named.filter((name) => name !== ""))];
}

async function sudo(words: readonly string[], signal: AbortSignal): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("sudo", ["-n", ...words], { env, signal, timeout: APT_DEADLINE_MS, maxBuffer: 16 << 20 });
}

/** GitHub's runners have /dev/kvm, and their user may not open it. */
async function openKvm(signal: AbortSignal): Promise<void> {
  if ((await stat("/dev/kvm").catch(() => null)) === null) return;
  const isOpen = await access("/dev/kvm", constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!isOpen) await sudo(["chmod", "0666", "/dev/kvm"], signal).catch(() => {});
}

function describeMissing({ probes }: DoctorReport): ThawError {
  const fatal = probes.filter((probe) => probe.fatal && probe.state === "missing");
  const packages = packagesIn(probes);
  const line = packages.length === 0 ? undefined : `sudo apt-get install -y ${packages.join(" ")}`;
  return new ThawError("host-not-ready", "this host can't run sandboxes yet", {
    details: fatal.map(
      ({ name, detail, hint }) => `${name}: ${detail}${hint === undefined ? "" : ` → ${hint}`}`,
    ),
    hint: line ?? "to see what is missing: thaw doctor",
  });
}

/** Installs the missing Debian packages on a GitHub-hosted runner. @throws ThawError `host-not-ready` */
export async function prepareHosted(
  client: Thaw,
  { log, signal }: { log: GuestLog; signal: AbortSignal },
): Promise<void> {
  await openKvm(signal);
  const report = await client.host.doctor({ signal });
  const packages = packagesIn(report.probes);
  if (packages.length === 0) return;
  await log.say(`installing ${packages.join(" ")}`);
  try {
    await sudo(["apt-get", "update", "-qq"], signal);
    await sudo(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages], signal);
  } catch (error) {
    signal.throwIfAborted();
    await log.say(`apt-get failed: ${(error as Error).message.slice(0, 300)}`);
    throw describeMissing(report);
  }
}

/** The whole list and the line to type, where a step failed because the host lacks something. */
export async function explainHost(client: Thaw): Promise<string | undefined> {
  try {
    const report = await client.host.doctor({ signal: AbortSignal.timeout(10_000) });
    if (report.ready) return undefined;
    const { details, hint } = describeMissing(report);
    return [...details, `run: ${hint}`].join("\n");
  } catch {
    return undefined;
  }
}
