/** The guest's kernel: Debian's cloud kernel, fetched once, with an initial root that holds the agent and the modules it loads. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { RunnerError } from "../runner.ts";
import { type CpioEntry, cpio } from "./cpio.ts";
import { loadOrder, moduleDependencies, moduleName, WANTED_MODULES } from "./modules.ts";
import { runTool } from "./tool.ts";

const META_PACKAGE = "linux-image-cloud-amd64";
const APT_TIMEOUT_MS = 300_000;

export interface PrepareKernelOptions {
  /** Folder that holds one folder per kernel and agent. */
  kernelsDir: string;
  /** The static guest agent. */
  agentPath: string;
  /** Called with one line of what is being done. */
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

export interface PreparedKernel {
  /** Holds `vmlinuz`, `initrd` and `version`. */
  dir: string;
  /** e.g. `6.1.0-56-cloud-amd64`. */
  version: string;
  cached: boolean;
}

/**
 * Returns a kernel with this agent in its initial root; downloads the kernel's package when there is none yet. A kernel that is already
 * here is used as it is: a newer one is taken up when `kernelsDir` is emptied. Works as any user. Rejects with `missing-tool`
 * (apt's lists or dpkg absent) or `start-failed`.
 */
export async function prepareKernel(options: PrepareKernelOptions): Promise<PreparedKernel> {
  const { kernelsDir, signal } = options;
  const agent = await readFile(options.agentPath);
  const agentDigest = createHash("sha256").update(agent).digest("hex").slice(0, 12);
  await mkdir(kernelsDir, { recursive: true });

  const ready = await newest(kernelsDir, (name) => name.endsWith(`-cloud-amd64-${agentDigest}`));
  if (ready !== undefined) {
    return { dir: join(kernelsDir, ready), version: ready.slice(0, -(agentDigest.length + 1)), cached: true };
  }
  const version =
    (await newest(kernelsDir, (name) => /-cloud-amd64$/.test(name))) ?? (await fetchKernel(options));
  signal?.throwIfAborted();
  const dir = join(kernelsDir, `${version}-${agentDigest}`);
  await publish(dir, async (tmp) => {
    const parts = join(kernelsDir, version);
    const modules = (await readFile(join(parts, "modules.list"), "utf8")).split("\n").filter(Boolean);
    await writeFile(join(tmp, "vmlinuz"), await readFile(join(parts, "vmlinuz")));
    await writeFile(join(tmp, "initrd"), await initialRoot(agent, parts, modules));
    await writeFile(join(tmp, "version"), `${version}\n`);
  });
  return { dir, version, cached: false };
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

/** Downloads the package and keeps `vmlinuz`, the modules needed and their order in `kernelsDir/<version>`. Returns the version. */
async function fetchKernel(options: PrepareKernelOptions): Promise<string> {
  const { kernelsDir, onProgress, signal } = options;
  const apt = { timeoutMs: APT_TIMEOUT_MS, signal, debianPackage: "apt" };
  const packageName = await resolvePackage(apt);
  const version = packageName.replace(/^linux-image-/, "");
  onProgress?.(`downloading ${packageName}`);
  const scratch = await mkdtemp(join(kernelsDir, ".tmp-"));
  try {
    await runTool("apt-get", ["download", "-o", "APT::Sandbox::User=root", packageName], {
      ...apt,
      cwd: scratch,
    });
    const deb = (await readdir(scratch)).find((name) => name.endsWith(".deb"));
    if (deb === undefined)
      throw new RunnerError("start-failed", `apt-get download left no package for ${packageName}`);
    onProgress?.(`unpacking ${deb}`);
    await runTool("dpkg-deb", ["-x", deb, "tree"], {
      timeoutMs: 60_000,
      signal,
      debianPackage: "dpkg",
      cwd: scratch,
    });
    await publish(join(kernelsDir, version), (tmp) => keepParts(join(scratch, "tree"), version, tmp));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return version;
}

/** The versioned package the meta package stands for. */
async function resolvePackage(apt: Parameters<typeof runTool>[2]): Promise<string> {
  const depends = await runTool("apt-cache", ["depends", "--important", META_PACKAGE], apt).catch(
    (cause: unknown) => {
      if (cause instanceof RunnerError && cause.code === "missing-tool") {
        throw new RunnerError(
          "missing-tool",
          "the guest kernel comes from Debian's archive and this host has no apt",
          { cause },
        );
      }
      throw new RunnerError("missing-tool", `apt does not know ${META_PACKAGE}`, {
        hint: "apt-get update",
        cause,
      });
    },
  );
  const found = /Depends: (linux-image-[0-9][A-Za-z0-9.+~-]*-cloud-amd64)\s/.exec(`${depends}\n`)?.[1];
  if (found === undefined)
    throw new RunnerError("missing-tool", `apt does not know ${META_PACKAGE}`, { hint: "apt-get update" });
  return found;
}

async function keepParts(tree: string, version: string, target: string): Promise<void> {
  await writeFile(join(target, "vmlinuz"), await readFile(join(tree, "boot", `vmlinuz-${version}`)));
  const paths = new Map<string, string>();
  const libraries = [join(tree, "lib/modules"), join(tree, "usr/lib/modules")];
  for (const library of libraries) {
    const files = await readdir(join(library, version), { recursive: true }).catch(() => []);
    for (const file of files)
      if (file.endsWith(".ko")) paths.set(moduleName(basename(file)), join(library, version, file));
  }
  const dependencies = new Map<string, string[]>();
  const contents = new Map<string, Buffer>();
  const read = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || dependencies.has(name)) return;
    const content = await readFile(path);
    contents.set(name, content);
    dependencies.set(name, moduleDependencies(content));
    for (const dependency of dependencies.get(name) ?? []) await read(dependency);
  };
  for (const name of WANTED_MODULES) await read(name);
  const order = loadOrder(WANTED_MODULES, dependencies);
  if (!order.includes("virtio_pci"))
    throw new RunnerError("start-failed", `kernel ${version} has no virtio_pci.ko to load`);
  for (const name of order) await writeFile(join(target, `${name}.ko`), contents.get(name) ?? "");
  await writeFile(join(target, "modules.list"), order.map((name) => `${name}.ko\n`).join(""));
}

/** Highest version among the folders `matches` accepts. */
async function newest(kernelsDir: string, matches: (name: string) => boolean): Promise<string | undefined> {
  const names = (await readdir(kernelsDir)).filter((name) => /^[0-9]/.test(name) && matches(name));
  return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
}

/** Fills a scratch folder and renames it to `dir`; another process that was first wins. */
async function publish(dir: string, fill: (tmp: string) => Promise<void>): Promise<void> {
  const tmp = `${dir}.${randomUUID()}.tmp`;
  await mkdir(tmp);
  try {
    await fill(tmp);
    await rename(tmp, dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(tmp, { recursive: true, force: true });
  }
}
