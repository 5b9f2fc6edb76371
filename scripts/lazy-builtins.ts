// An import of a builtin module evaluates every export of it, whoever asks: node:http's WebSocket and fetch, node:crypto's web crypto. Here each is
// a module whose exports are looked up when they are used, so that a short command does not wait for what it does not need.
import { builtinModules } from "node:module";
import type { Plugin } from "rolldown";

const PREFIX = "\0builtin:";
const SUFFIX = ".cjs";

export function lazyBuiltins(): Plugin {
  return {
    name: "lazy-builtins",
    resolveId: {
      filter: { id: /^(node:)?[a-z0-9_]+(\/[a-z0-9]+)*$/ },
      handler(id, importer, { kind }) {
        const name = id.replace("node:", "");
        // The bundler's own part is what these modules are made with.
        if (
          !(builtinModules.includes(name) || builtinModules.includes(id)) ||
          importer?.startsWith("\0rolldown")
        )
          return null;
        return { id: `${PREFIX}${kind === "require-call" ? "require:" : ""}${name}${SUFFIX}` };
      },
    },
    load: {
      filter: { id: new RegExp(`^${PREFIX}`) },
      handler(id) {
        const name = id.slice(PREFIX.length, -SUFFIX.length);
        return name.startsWith("require:") ? whole(name.slice("require:".length)) : lazy(name);
      },
    },
  };
}

function whole(name: string): string {
  return `module.exports = process.getBuiltinModule(${JSON.stringify(name)});`;
}

function lazy(name: string): string {
  const builtin = process.getBuiltinModule(name) ?? {};
  // A function (node:events) has no names to look up later; it is loaded by Node's own start anyway.
  if (typeof builtin === "function") return whole(name);
  const names = JSON.stringify(Object.keys(builtin));
  return `let loaded;
for (const name of ${names})
  Object.defineProperty(exports, name, {
    get: () => (loaded ??= process.getBuiltinModule(${JSON.stringify(name)}))[name],
    enumerable: true,
  });`;
}
