/** `/lib/modules/VERSION` as a guest gets it: modules, and the lists by which the agent and kmod's `modprobe` find them. */
import { moduleIndex } from "./module-index.ts";
import { loadOrder, moduleDependencies, moduleInfo, moduleName } from "./modules.ts";

/** A module as it lies in a kernel's package, decompressed. */
export interface KernelModule {
  /** Below `/lib/modules/VERSION`, e.g. `kernel/fs/overlayfs/overlay.ko`. */
  path: string;
  content: Buffer;
}

/**
 * Files by path, parents' files in no order. Source of the formats: depmod and libkmod/libkmod-index.h of kmod.
 * @param modules by name
 * @param builtIn the package's `modules.builtin`
 */
export function moduleLibrary(
  modules: ReadonlyMap<string, KernelModule>,
  builtIn: string,
): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const dependencies = new Map(
    [...modules].map(([name, { content }]) => [name, moduleDependencies(content)]),
  );
  const pathOf = (name: string): string => modules.get(name)?.path ?? "";
  const lines: [name: string, line: string][] = [];
  const aliases: [alias: string, name: string][] = [];
  const soft: string[] = [];
  for (const [name, { path, content }] of [...modules].sort()) {
    files.set(path, content);
    // What is loaded first comes last.
    const before = loadOrder([name], dependencies).slice(0, -1).reverse();
    lines.push([name, [`${path}:`, ...before.map(pathOf)].join(" ")]);
    for (const alias of moduleInfo(content, "alias")) aliases.push([normalAlias(alias), name]);
    for (const text of moduleInfo(content, "softdep")) soft.push(`softdep ${name} ${text}\n`);
  }
  const text = (name: string, content: string): void => void files.set(name, Buffer.from(content, "latin1"));
  text("modules.dep", lines.map(([, line]) => `${line}\n`).join(""));
  text("modules.alias", aliases.map(([alias, name]) => `alias ${alias} ${name}\n`).join(""));
  text("modules.softdep", soft.join(""));
  text("modules.order", lines.map(([name]) => `${pathOf(name)}\n`).join(""));
  text("modules.builtin", builtIn);
  const builtInNames = builtIn.split("\n").filter(Boolean);
  files.set("modules.dep.bin", moduleIndex(lines));
  files.set("modules.alias.bin", moduleIndex(aliases));
  files.set(
    "modules.builtin.bin",
    moduleIndex(builtInNames.map((path) => [moduleName(path.slice(path.lastIndexOf("/") + 1)), ""])),
  );
  return files;
}

/** Dashes are underscores, but within brackets. */
function normalAlias(alias: string): string {
  return alias.replace(/\[[^\]]*\]|-/g, (part) => (part === "-" ? "_" : part));
}
