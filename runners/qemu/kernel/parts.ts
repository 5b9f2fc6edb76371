/** What machines boot from, and what they can load later, picked out of an unpacked kernel package. */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { runTool } from "../../host/tool.ts";
import { RunnerError } from "../../runner.ts";
import { type KernelModule, moduleLibrary } from "./library.ts";
import {
  BOOT_MODULES,
  LOADABLE_MODULES,
  loadOrder,
  MODULE_SUFFIX,
  moduleDependencies,
  moduleName,
  WANTED_MODULES,
} from "./modules.ts";
import { treeOf } from "./tree.ts";

/** File in a kernel's folder: the modules that were looked for in its package. */
export const CHOICE_FILE = "modules.choice";
/** File in a kernel's folder: a tree stream of its guests' `/lib/modules/VERSION`. */
export const LIBRARY_FILE = "modules.tree";
export const CHOICE = `${[...BOOT_MODULES, ...LOADABLE_MODULES].join(" ")}\n`;

/** The largest module of Debian's kernels has some 10 MB. */
const MAX_MODULE_BYTES = 64 * 2 ** 20;

/**
 * Writes into `target`: `vmlinuz`, the modules that a boot needs (decompressed), `modules.list`, their order, and `modules.tree`, what guests can
 * load. Throws `unsupported` with the names of all drivers that are neither a module nor built in.
 */
export async function keepParts(
  tree: string,
  { version, target, signal }: { version: string; target: string; signal?: AbortSignal | undefined },
): Promise<void> {
  await copyFile(findImage(tree, version), join(target, "vmlinuz"));
  const { files, builtIn } = await findModules(tree, version);
  const loadable = [...files].filter(([, { path }]) => isLoadable(path)).map(([name]) => name);
  const modules = new Map<string, KernelModule>();
  // With all that they depend on.
  for (let next = new Set([...BOOT_MODULES, ...loadable]); next.size > 0; ) {
    const wanted = new Map([...files].filter(([name]) => next.has(name) && !modules.has(name)));
    const contents = await decompressed(wanted, target, signal);
    for (const [name, content] of contents)
      modules.set(name, { path: (wanted.get(name)?.path ?? "").replace(MODULE_SUFFIX, ".ko"), content });
    next = new Set([...contents.values()].flatMap(moduleDependencies));
  }
  const builtInNames = new Set(builtIn.split("\n").map((path) => moduleName(basename(path))));
  const lacking = WANTED_MODULES.filter((name) => !modules.has(name) && !builtInNames.has(name));
  if (lacking.length > 0)
    throw new RunnerError(
      "unsupported",
      `kernel ${version} has no ${lacking.join(", no ")}: neither as a module nor built in`,
    );
  const dependencies = new Map(
    [...modules].map(([name, { content }]) => [name, moduleDependencies(content)] as const),
  );
  const order = loadOrder(BOOT_MODULES, dependencies);
  for (const name of order) await writeFile(join(target, `${name}.ko`), modules.get(name)?.content ?? "");
  await writeFile(join(target, CHOICE_FILE), CHOICE);
  await writeFile(join(target, "modules.list"), order.map((name) => `${name}.ko\n`).join(""));
  await writeFile(join(target, LIBRARY_FILE), treeOf(moduleLibrary(modules, builtIn)));
}

/** Debian's packages have it in /boot, those since Linux 7 beside the modules. */
function findImage(tree: string, version: string): string {
  const inBoot = join(tree, "boot", `vmlinuz-${version}`);
  return existsSync(inBoot) ? inBoot : join(tree, "usr/lib/modules", version, "vmlinuz");
}

function isLoadable(path: string): boolean {
  return LOADABLE_MODULES.some((start) => path.startsWith(`kernel/${start}`));
}

interface ModuleFile {
  /** In the package. */
  file: string;
  /** Below `/lib/modules/VERSION`. */
  path: string;
}

/** Files of modules by name, and the list of what is built into the kernel. */
async function findModules(
  tree: string,
  version: string,
): Promise<{ files: Map<string, ModuleFile>; builtIn: string }> {
  const files = new Map<string, ModuleFile>();
  let builtIn = "";
  for (const library of [join(tree, "lib/modules", version), join(tree, "usr/lib/modules", version)]) {
    for (const path of await readdir(library, { recursive: true }).catch(() => []))
      if (MODULE_SUFFIX.test(path))
        files.set(moduleName(basename(path)), { file: join(library, path), path });
    builtIn += await readFile(join(library, "modules.builtin"), "utf8").catch(() => "");
  }
  return { files, builtIn };
}

/** Contents by name. @param scratch folder for files meanwhile */
async function decompressed(
  modules: ReadonlyMap<string, ModuleFile>,
  scratch: string,
  signal?: AbortSignal,
): Promise<Map<string, Buffer>> {
  const limit = { maxOutputLength: MAX_MODULE_BYTES };
  const contents = new Map<string, Buffer>();
  const dir = join(scratch, "unpacked");
  await mkdir(dir);
  const packed: string[] = [];
  for (const [name, { file }] of modules) {
    if (file.endsWith(".xz")) {
      packed.push(`${name}.xz`);
      await copyFile(file, join(dir, `${name}.xz`));
      continue;
    }
    const content = await readFile(file);
    const plain = file.endsWith(".gz")
      ? gunzipSync(content, limit)
      : file.endsWith(".zst")
        ? zstdDecompressSync(content, limit)
        : content;
    contents.set(name, plain);
  }
  if (packed.length > 0) {
    const unpacking = { timeoutMs: 120_000, signal, debianPackage: "xz-utils", cwd: dir };
    await runTool("xz", ["--decompress", "--", ...packed], unpacking);
  }
  for (const name of await readdir(dir)) contents.set(name, await readFile(join(dir, name)));
  await rm(dir, { recursive: true });
  return contents;
}
