// An import of a builtin module evaluates every export of it, whoever asks: node:http's WebSocket and fetch, node:crypto's web crypto. Here each is
// a module whose exports are looked up when they are used, so that a start does not wait for what it does not need.
import { builtinModules } from "node:module";
import type { Plugin } from "rolldown";

const PREFIX = "\0builtin:";
const SUFFIX = ".cjs";

export function lazyBuiltins(): Plugin {
  return {
    name: "lazy-builtins",
    resolveId: {
      filter: { id: /^(node:)?[a-z0-9_]+(\/[a-z0-9]+)*$/ },
      handler(id, importer) {
        // The bundler's own part is what these modules are made with.
        if (importer?.startsWith("\0rolldown")) return null;
        const name = builtinModules.includes(id) ? id : id.replace("node:", "");
        return builtinModules.includes(name) ? { id: `${PREFIX}${name}${SUFFIX}` } : null;
      },
    },
    load: {
      filter: { id: new RegExp(`^${PREFIX}`) },
      handler: (id) => lazyModule(id.slice(PREFIX.length, -SUFFIX.length)),
    },
  };
}

/** @returns a CommonJS module that stands for the builtin one */
export function lazyModule(name: string): string {
  const load = `process.getBuiltinModule(${JSON.stringify(name)})`;
  // A module that is a function (node:events), or that inherits (node:process), is more than its own names. Node loads those when it starts. The
  // modules that exist only with the prefix (node:sqlite) are required late.
  const builtin = name.startsWith("node:") ? undefined : process.getBuiltinModule(name);
  if (typeof builtin !== "object" || Object.getPrototypeOf(builtin) !== Object.prototype)
    return `module.exports = ${load};`;
  return `let loaded;
for (const name of ${JSON.stringify(Object.getOwnPropertyNames(builtin))})
  Object.defineProperty(exports, name, {
    get: () => (loaded ??= ${load})[name],
    set: (value) => Object.defineProperty(exports, name, { value, writable: true }),
    enumerable: true,
    configurable: true,
  });`;
}
