#!/usr/bin/env node
/** The command line's entry: the only place that ends the process. */
import { mkdirSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { findPaths } from "../client/paths.ts";

try {
  const { home } = findPaths();
  mkdirSync(home, { recursive: true, mode: 0o700 });
  enableCompileCache(join(home, "cache"));
} catch {
  // without a cache it is slower; what is wrong with the folder is said by what needs it
}
const { runProgram } = await import("./program.ts");
process.exit(await runProgram(process.argv.slice(2)));
