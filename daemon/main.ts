/** The daemon's entry. Compiled code is kept between starts: most of a start's time is compiling. What is imported here would be compiled each time. */
const { enableCompileCache, flushCompileCache } = process.getBuiltinModule("node:module");
const { join } = process.getBuiltinModule("node:path");
const { parseArgs } = process.getBuiltinModule("node:util");

const { home } = parseArgs({ options: { home: { type: "string" } }, strict: false }).values;
if (typeof home === "string") enableCompileCache(join(home, "cache"));
await import("./run.ts");
// A daemon that is killed writes nothing at its end.
setTimeout(() => flushCompileCache(), 1_000).unref();

export {};
