/** What machines boot from, picked out of an unpacked kernel package. */
import { copyFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { RunnerError } from "../../runner.ts";
import { runTool } from "../tool.ts";
import {
  CONTAINER_MODULES,
  loadOrder,
  MODULE_SUFFIX,
  moduleDependencies,
  moduleName,
  NETWORK_MODULES,
  WANTED_MODULES,
} from "./modules.ts";

/** File in a kernel's folder: the modules that were looked for in its package. */
export const CHOICE_FILE = "modules.choice";
const CHOSEN_MODULES = [...WANTED_MODULES, ...NETWORK_MODULES, ...CONTAINER_MODULES];
export const CHOICE = `${CHOSEN_MODULES.join(" ")}\n`;

/** The largest module of Debian's kernels has some 10 MB. */
const MAX_MODULE_BYTES = 64 * 2 ** 20;

/**
 * Writes `vmlinuz`, the modules that a machine's devices need (decompressed) and `modules.list`, their order, into `target`.
 * Throws `unsupported` with the names of all drivers that are neither a module nor built in.
 */
export async function keepParts(
  tree: string,
  { version, target, signal }: { version: string; target: string; signal?: AbortSignal | undefined },
): Promise<void> {
  await copyFile(join(tree, "boot", `vmlinuz-${version}`), join(target, "vmlinuz"));
  const { paths, builtIn } = await findModules(tree, version);
  const contents = new Map<string, Buffer>();
  const dependencies = new Map<string, string[]>();
  const read = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || dependencies.has(name)) return;
    const content = await decompressed(path, target, signal);
    contents.set(name, content);
    dependencies.set(name, moduleDependencies(content));
    for (const dependency of dependencies.get(name) ?? []) await read(dependency);
  };
  for (const name of CHOSEN_MODULES) await read(name);
  const lacking = WANTED_MODULES.filter((name) => !contents.has(name) && !builtIn.has(name));
  if (lacking.length > 0)
    throw new RunnerError(
      "unsupported",
      `kernel ${version} has no ${lacking.join(", no ")}: neither as a module nor built in`,
    );
  const order = loadOrder(CHOSEN_MODULES, dependencies);
  for (const name of order) await writeFile(join(target, `${name}.ko`), contents.get(name) ?? "");
  await writeFile(join(target, CHOICE_FILE), CHOICE);
  await writeFile(join(target, "modules.list"), order.map((name) => `${name}.ko\n`).join(""));
}

/** Files of modules by name, and names of what is built into the kernel. */
async function findModules(
  tree: string,
  version: string,
): Promise<{ paths: Map<string, string>; builtIn: Set<string> }> {
  const paths = new Map<string, string>();
  const builtIn = new Set<string>();
  for (const library of [join(tree, "lib/modules", version), join(tree, "usr/lib/modules", version)]) {
    const files = await readdir(library, { recursive: true }).catch(() => []);
    for (const file of files)
      if (MODULE_SUFFIX.test(file)) paths.set(moduleName(basename(file)), join(library, file));
    const list = await readFile(join(library, "modules.builtin"), "utf8").catch(() => "");
    for (const line of list.split("\n").filter(Boolean)) builtIn.add(moduleName(basename(line)));
  }
  return { paths, builtIn };
}

/** @param scratch folder for a file meanwhile */
async function decompressed(path: string, scratch: string, signal?: AbortSignal): Promise<Buffer> {
  const limit = { maxOutputLength: MAX_MODULE_BYTES };
  if (path.endsWith(".gz")) return gunzipSync(await readFile(path), limit);
  if (path.endsWith(".zst")) return zstdDecompressSync(await readFile(path), limit);
  if (!path.endsWith(".xz")) return readFile(path);
  const copy = join(scratch, basename(path));
  await copyFile(path, copy);
  await runTool("xz", ["--decompress", copy], { timeoutMs: 60_000, signal, debianPackage: "xz-utils" });
  const plain = copy.slice(0, -".xz".length);
  const content = await readFile(plain);
  await rm(plain);
  return content;
}
