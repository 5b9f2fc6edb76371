/** A bundle's stand-ins for Node's modules have all that the modules have. */
import { builtinModules } from "node:module";
import { expect, test } from "vitest";
import { lazyModule } from "../../scripts/lazy-builtins.ts";

/** What the stand-in exports. */
function evaluate(name: string): Record<string, unknown> {
  const module = { exports: {} };
  new Function("module", "exports", lazyModule(name))(module, module.exports);
  return module.exports;
}

const names = [
  "assert",
  "child_process",
  "console",
  "crypto",
  "events",
  "fs",
  "fs/promises",
  "http",
  "https",
];
test.each([...names, "net", "os", "path", "process", "stream", "timers/promises", "tls", "util", "zlib"])(
  "%s",
  (name) => {
    expect(builtinModules).toContain(name);
    const builtin = process.getBuiltinModule(name) as unknown as Record<string, unknown>;
    const standIn = evaluate(name);
    for (const key of Object.getOwnPropertyNames(builtin)) expect(key in standIn, key).toBe(true);
    for (const key in builtin)
      if (typeof builtin[key] === "function") expect(standIn[key]).toBe(builtin[key]);
  },
);

test("process keeps what it inherits", () => {
  expect(evaluate("process").once).toBe(process.once);
});
