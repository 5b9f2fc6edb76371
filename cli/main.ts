#!/usr/bin/env node
/** The command line's entry: the only place that ends the process. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { findPaths } from "../client/index.ts";
import { isBare } from "./bare.ts";

const OLDEST_NODE = 24;
/** 128 + SIGPIPE. */
const BROKEN_PIPE_EXIT_CODE = 141;
/**
 * V8 compiles hot code on threads of its own. One that waits for a garbage collection while the process exits is waited for in turn, for
 * ever (Node 24). A command that ran long enough to have hot code lets them finish first.
 */
const HOT_AFTER_MS = 500;
const SETTLE_MS = 20;

/** Compiled code is kept between runs: half of a short command's time is compiling. */
function enableCache(): void {
  try {
    const { home } = findPaths();
    mkdirSync(home, { recursive: true, mode: 0o700 });
    process.getBuiltinModule("node:module").enableCompileCache(join(home, "cache"));
  } catch {
    // without a cache it is slower; what is wrong with the folder is said by what needs it
  }
}

async function main(): Promise<number> {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    process.stderr.write(
      `thaw: needs Node ${OLDEST_NODE}; this is ${process.versions.node}\nhint: npx -p node@${OLDEST_NODE} node ${process.argv[1]}\n`,
    );
    return 125;
  }
  enableCache();
  const argv = process.argv.slice(2);
  if (isBare(argv) && process.stdin.isTTY === true && process.stdout.isTTY === true) {
    const { runDashboard } = await import("./tui/open.ts");
    return runDashboard(argv);
  }
  const { runProgram } = await import("./program.ts");
  return runProgram(argv);
}

/** Waits until what was written is with its reader, or the reader is gone: ending earlier would cut it off in a pipe. */
async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength > 0 && !stream.destroyed)
    await new Promise<void>((resolve) => stream.write("", () => resolve()));
}

// A reader that has gone ends us quietly, as SIGPIPE does others. Without anybody to hear, what is said on stderr is dropped.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(BROKEN_PIPE_EXIT_CODE);
});
process.stderr.on("error", () => {});

const code = await main();
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
if (performance.now() > HOT_AFTER_MS) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
process.exit(code);
