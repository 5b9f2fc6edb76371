/** The daemon's entry. Compiled code is kept between starts: most of a start's time is compiling. */
import module from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { home } = parseArgs({ options: { home: { type: "string" } }, strict: false }).values;
if (typeof home === "string") module.enableCompileCache(join(home, "cache"));
await import("./run.ts");
// A daemon that is killed writes nothing at its end.
setTimeout(() => module.flushCompileCache(), 1_000).unref();
