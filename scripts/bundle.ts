// One bundle of dist/: its entries, and the files that they load when they need them.
import { relative } from "node:path";
import { type Plugin, rolldown } from "rolldown";
import { asciiOnly } from "./ascii-only.ts";
import { clientDoor } from "./client-door.ts";
import { lazyBuiltins } from "./lazy-builtins.ts";
import { leftOut } from "./left-out.ts";
import { yogaWithoutFetch } from "./yoga-without-fetch.ts";

/** What so many of a bundle's parts load is one file: each file costs a short command about a millisecond. */
const COMMON = 8;

export interface BundleOptions {
  root: string;
  /** The folder that it is written to. */
  out: string;
  /** Name of each entry's file → its source, relative to `root`. */
  entries: Record<string, string>;
}

/** @returns the source files that the bundle is made of, relative to `root` */
export async function bundle({ root, out, entries }: BundleOptions): Promise<string[]> {
  const atOnce = new Set<string>();
  const build = await rolldown({
    cwd: root,
    input: entries,
    platform: "node",
    // of React, what its users run and not what its developers look at
    transform: { define: { "process.env.NODE_ENV": '"production"' } },
    plugins: [
      clientDoor(root),
      lazyBuiltins(),
      leftOut(),
      yogaWithoutFetch(),
      collectStatic(atOnce),
      asciiOnly(),
    ],
    checks: { ineffectiveDynamicImport: false },
    logLevel: "warn",
  });
  const { output } = await build.write({
    dir: out,
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: "chunks/[name]-[hash].mjs",
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
    codeSplitting: {
      groups: [
        { name: "core", test: (id) => atOnce.has(id) },
        { name: "common", minShareCount: COMMON },
      ],
    },
  });
  await build.close();
  return output
    .flatMap((file) => (file.type === "chunk" ? file.moduleIds : []))
    .filter((id) => !id.startsWith("\0"))
    .map((id) => relative(root, id));
}

/** Finds what is loaded with the entries. */
function collectStatic(found: Set<string>): Plugin {
  return {
    name: "collect-static",
    buildEnd() {
      const follow = (id: string): void => {
        if (found.has(id)) return;
        found.add(id);
        for (const imported of this.getModuleInfo(id)?.importedIds ?? []) follow(imported);
      };
      for (const id of this.getModuleIds()) {
        const module = this.getModuleInfo(id);
        if (module?.isEntry === true) for (const imported of module.importedIds) follow(imported);
      }
    },
  };
}
