// An import of node:http evaluates every export of it, WebSocket and fetch among them: a fifth of the daemon's start. Taken as a builtin module it
// evaluates what is used.
import type { Plugin } from "esbuild";

const SHIMS: Record<string, string> = {
  http: 'module.exports = process.getBuiltinModule("http");',
  // Used late, if ever, and TLS comes with it.
  https: `for (const name of ["Agent", "Server", "createServer", "get", "globalAgent", "request"])
    Object.defineProperty(module.exports, name, { get: () => process.getBuiltinModule("https")[name], enumerable: true });`,
};

export function leanHttp(): Plugin {
  return {
    name: "lean-http",
    setup(build) {
      const namespace = "lean-http";
      build.onResolve({ filter: /^(node:)?https?$/ }, ({ path }) => ({
        path: path.replace("node:", ""),
        namespace,
      }));
      build.onLoad({ filter: /.*/, namespace }, ({ path }) => ({
        contents: SHIMS[path] ?? "",
        loader: "js",
      }));
    },
  };
}
