/** Fetches a kernel's package from Debian's archive and keeps the parts that machines boot from. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runTool } from "../../host/tool.ts";
import { type KernelSource, RunnerError } from "../../runner.ts";
import { keepParts } from "./parts.ts";

const META_PACKAGE = "linux-image-cloud-amd64";
const APT_TIMEOUT_MS = 300_000;

export interface FetchKernelOptions extends KernelSource {
  kernelsDir: string;
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
  isHere(dir: string): Promise<boolean>;
  /** Makes a folder that readers see whole or not at all. */
  publish(dir: string, fill: (draft: string) => Promise<void>): Promise<void>;
}

/** Keeps `vmlinuz`, the modules needed and their order in `kernelsDir/<version>`, unless `isHere` says that they are there. Returns the version. */
export async function fetchKernel(options: FetchKernelOptions): Promise<string> {
  const { kernelsDir, suite, onProgress, signal, isHere, publish } = options;
  const scratch = await mkdtemp(join(kernelsDir, ".tmp-"));
  try {
    const apt = await openApt(options, scratch);
    const packageName = await resolvePackage(apt, suite);
    const version = packageName.replace(/^linux-image-/, "");
    const dir = join(kernelsDir, version);
    // Two suites may have the same kernel.
    if (await isHere(dir)) return version;
    onProgress?.(`downloading ${packageName}`);
    const packages = [packageName, ...(await partsOf(apt, packageName, version))];
    await apt("apt-get", ["download", "-o", "APT::Sandbox::User=root", ...packages]);
    const debs = (await readdir(scratch)).filter((name) => name.endsWith(".deb"));
    if (debs.length !== packages.length)
      throw new RunnerError("start-failed", `apt-get download did not fetch ${packages.join(", ")}`);
    const unpacking = { timeoutMs: 60_000, signal, debianPackage: "dpkg", cwd: scratch };
    for (const deb of debs) {
      onProgress?.(`unpacking ${deb}`);
      await runTool("dpkg-deb", ["-x", deb, "tree"], unpacking);
    }
    await publish(dir, (draft) => keepParts(join(scratch, "tree"), { version, target: draft, signal }));
    return version;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

type Apt = (command: string, args: readonly string[]) => Promise<string>;

/** Runs apt's commands: with the host's lists where the host has the suite, else with lists of its own in `scratch`. */
async function openApt({ sources, signal }: FetchKernelOptions, scratch: string): Promise<Apt> {
  const tool = { timeoutMs: APT_TIMEOUT_MS, signal, debianPackage: "apt", cwd: scratch };
  const lines = await sources();
  if (lines === null) return (command, args) => runTool(command, args, tool);
  const file = join(scratch, "sources.list");
  await writeFile(file, lines.map((line) => `${line}\n`).join(""));
  for (const dir of ["state/lists/partial", "cache/archives/partial"])
    await mkdir(join(scratch, dir), { recursive: true });
  await writeFile(join(scratch, "state/status"), "");
  const own = [
    `Dir::Etc::SourceList=${file}`,
    "Dir::Etc::SourceParts=/dev/null",
    `Dir::State=${scratch}/state`,
    `Dir::State::status=${scratch}/state/status`,
    `Dir::Cache=${scratch}/cache`,
    "APT::Sandbox::User=root",
    "Acquire::Languages=none",
  ].flatMap((option) => ["-o", option]);
  const apt: Apt = (command, args) => runTool(command, [...own, ...args], tool);
  await apt("apt-get", ["update"]);
  return apt;
}

/** The versioned package the meta package stands for. */
async function resolvePackage(apt: Apt, suite: string): Promise<string> {
  const depends = await apt("apt-cache", ["depends", "--important", META_PACKAGE]).catch((cause: unknown) => {
    if (cause instanceof RunnerError && cause.code === "missing-tool") {
      throw new RunnerError(
        "missing-tool",
        "the guest kernel comes from Debian's archive and this host has no apt",
        { cause },
      );
    }
    throw unknownPackage(suite, cause);
  });
  const found = /Depends: (linux-image-[0-9][A-Za-z0-9.+~-]*-cloud-amd64)\s/.exec(`${depends}\n`)?.[1];
  if (found === undefined) throw unknownPackage(suite);
  return found;
}

/** Since Linux 7, Debian has a kernel's image, its modules and their lists in packages of their own. */
async function partsOf(apt: Apt, packageName: string, version: string): Promise<string[]> {
  const depends = await apt("apt-cache", ["depends", "--important", packageName]);
  const names = ["base", "binary", "modules"].map((part) => `linux-${part}-${version}`);
  return names.filter((name) => depends.split("\n").some((line) => line.trim() === `Depends: ${name}`));
}

function unknownPackage(suite: string, cause?: unknown): RunnerError {
  return new RunnerError("missing-tool", `apt does not know ${META_PACKAGE} of Debian ${suite}`, {
    hint: "apt-get update",
    cause,
  });
}
