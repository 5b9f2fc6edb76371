/** The guest's kernel: the cloud kernel of a Debian suite, fetched once, with an initial root that holds the agent and the modules it loads. */
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkListed, publishListed } from "../../../durable/inventory.ts";
import type { KernelSource } from "../../runner.ts";
import { type CpioEntry, cpio } from "./cpio.ts";
import { fetchKernel } from "./fetch.ts";
import { isKept } from "./kept.ts";
import { CHOICE, CHOICE_FILE, LIBRARY_FILE } from "./parts.ts";

export interface FindKernelOptions extends KernelSource {
  /** Folder that holds one folder per kernel and agent. */
  kernelsDir: string;
  /** Called with one line of what is being done. */
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

export interface PrepareKernelOptions extends FindKernelOptions {
  /** The static guest agent. */
  agentPath: string;
}

export interface PreparedKernel {
  /** Holds `vmlinuz`, `initrd` and `version`. */
  dir: string;
  /** e.g. `6.1.0-56-cloud-amd64`. */
  version: string;
  /** A tree stream of `/lib/modules/VERSION`; null for a kernel that was kept by a version of thaw that made none. */
  library: string | null;
  cached: boolean;
}

/**
 * Returns a kernel of the suite with this agent in its initial root; downloads the kernel's package when there is none yet. A kernel that is
 * already here, whole, is used as it is: a newer one is taken up when `kernelsDir` is emptied. Works as any user. Rejects with `missing-tool`
 * (apt's lists or dpkg absent), `unsupported` (a kernel without a driver that machines need) or `start-failed`.
 */
export async function prepareKernel(options: PrepareKernelOptions): Promise<PreparedKernel> {
  const { kernelsDir, signal } = options;
  const agent = await readFile(options.agentPath);
  const version = await findKernel(options);
  const parts = join(kernelsDir, version);
  const list = await readFile(join(parts, "modules.list"), "utf8");
  const digest = createHash("sha256").update(agent).update(list).digest("hex").slice(0, 12);
  const dir = join(kernelsDir, `${version}-${digest}`);
  const library = existsSync(join(parts, LIBRARY_FILE)) ? join(parts, LIBRARY_FILE) : null;
  if ((await checkListed(dir, signal)) === "whole") return { dir, version, library, cached: true };
  signal?.throwIfAborted();
  await publish(dir, async (tmp) => {
    const modules = list.split("\n").filter(Boolean);
    await writeFile(join(tmp, "vmlinuz"), await readFile(join(parts, "vmlinuz")));
    await writeFile(join(tmp, "initrd"), await initialRoot(agent, parts, modules));
    await writeFile(join(tmp, "version"), `${version}\n`);
  });
  return { dir, version, library, cached: false };
}

/**
 * Returns the version of a kernel of the suite whose parts are in `kernelsDir`, fetched when there is none. One that was kept by an older version,
 * without modules that are looked for now, is fetched again; where that fails it is used as it is. A version that was asked for is used as it is.
 */
export async function findKernel(options: FindKernelOptions): Promise<string> {
  await mkdir(options.kernelsDir, { recursive: true });
  const isHere = async (dir: string): Promise<boolean> => (await isKept(dir)) && (await isChosen(dir));
  const fetch = async (): Promise<string> => {
    const version = await fetchKernel({ ...options, isHere, publish });
    await writeFile(suiteFile(join(options.kernelsDir, version), options.suite), "");
    return version;
  };
  const kept = await keptKernel(options);
  if (kept === undefined) return fetch();
  const parts = join(options.kernelsDir, kept);
  if (kept === options.version || (await isChosen(parts))) return kept;
  try {
    return await fetch();
  } catch {
    options.signal?.throwIfAborted();
    return kept;
  }
}

async function isChosen(parts: string): Promise<boolean> {
  return (await readFile(join(parts, CHOICE_FILE), "utf8").catch(() => "")) === CHOICE;
}

/** The wanted version when it is here, else the newest of the suite that is. What is not whole is as good as not here. */
async function keptKernel({ kernelsDir, suite, version }: FindKernelOptions): Promise<string | undefined> {
  const found = (await readdir(kernelsDir)).filter((name) => /^[0-9].*-cloud-amd64$/.test(name));
  const ofSuite = await Promise.all(found.map((name) => isOfSuite(join(kernelsDir, name), suite)));
  const newestFirst = found
    .filter((_, index) => ofSuite[index])
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  // Each that is looked at is read whole.
  for (const name of [...found.filter((one) => one === version), ...newestFirst])
    if (await isKept(join(kernelsDir, name))) return name;
  return undefined;
}

/** In a kernel's folder, an empty file for each suite that it came from. */
function suiteFile(dir: string, suite: string): string {
  return join(dir, `suite.${suite}`);
}

/** Earlier versions wrote one suite's name into the file `suite`. */
async function isOfSuite(dir: string, suite: string): Promise<boolean> {
  if (existsSync(suiteFile(dir, suite))) return true;
  return (await readFile(join(dir, "suite"), "utf8").catch(() => "")).trim() === suite;
}

/** The archive is not compressed: unpacking costs an emulated guest more than reading it. */
async function initialRoot(agent: Buffer, parts: string, modules: readonly string[]): Promise<Buffer> {
  const entries: CpioEntry[] = [
    { path: "dev", kind: "directory" },
    // The kernel opens it for PID 1's stdin, stdout and stderr.
    { path: "dev/console", kind: "character-device", mode: 0o600, major: 5, minor: 1 },
    { path: "modules", kind: "directory" },
    {
      path: "modules.list",
      kind: "file",
      mode: 0o644,
      data: Buffer.from(modules.map((name) => `/modules/${name}\n`).join("")),
    },
    { path: "init", kind: "file", mode: 0o755, data: agent },
  ];
  for (const name of modules) {
    entries.push({
      path: `modules/${name}`,
      kind: "file",
      mode: 0o644,
      data: await readFile(join(parts, name)),
    });
  }
  return cpio(entries);
}

/** Fills a scratch folder and publishes it as `dir`, in the place of one that is not whole. */
async function publish(dir: string, fill: (tmp: string) => Promise<void>): Promise<void> {
  const tmp = `${dir}.${randomUUID()}.tmp`;
  await mkdir(tmp);
  try {
    await fill(tmp);
    // A kernel with other modules is as good as not here.
    if (existsSync(join(tmp, CHOICE_FILE)) && !(await isChosen(dir)))
      await rm(dir, { recursive: true, force: true });
    await publishListed(tmp, dir);
  } finally {
    await rm(tmp, { recursive: true, force: true });
  }
}
