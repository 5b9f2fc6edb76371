import { CommanderError } from "commander";
import { signalExitCode } from "../api/exit-code.ts";
import { ThawError } from "../client/index.ts";
import { cleanText } from "./format/clean-text.ts";
import { styleErr, writeErr } from "./output.ts";
import { writeResult } from "./result-file.ts";
import { verbs } from "./verbs.ts";

/** Whether `--json` was given to thaw, and not to the command behind `--`. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? undefined : end).includes("--json");
}

/** Commander's own words, as one of our errors. */
function fromCommander(error: CommanderError, argv: readonly string[]): ThawError {
  const [first = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const named = argv.find((word) => word in verbs);
  const verb = named === undefined ? "" : ` ${named}`;
  if (first.includes("'--context")) {
    return new ThawError("usage", first, {
      hint: `--context goes before the verb: thaw --context NAME${verb}`,
    });
  }
  if ((named === "run" || named === "create") && /'(-v|--volume|--mount)/.test(first)) {
    return new ThawError("usage", first, {
      hint: "folders are copied, not mounted: thaw run --workspace DIR, thaw cp DIR NAME:/path",
    });
  }
  return new ThawError("usage", first, {
    hint: suggestion?.replace(/^\((.*)\)$/, "$1") ?? `thaw${verb} --help`,
  });
}

function toThawError(error: unknown, argv: readonly string[]): ThawError {
  if (error instanceof ThawError) return error;
  if (error instanceof CommanderError) return fromCommander(error, argv);
  const message = error instanceof Error ? error.message : String(error);
  const details = process.env.THAW_DEBUG && error instanceof Error ? (error.stack?.split("\n") ?? []) : [];
  return new ThawError("internal", message, { details, cause: error });
}

/** Says what failed, and what to type next, on stderr. @returns the exit code. */
export function reportFailure(error: unknown, argv: readonly string[]): number {
  if ((error as NodeJS.ErrnoException | undefined)?.code === "EPIPE") return signalExitCode("SIGPIPE");
  const failure = toThawError(error, argv);
  const written = writeResult({ type: "error", exitCode: failure.exitCode, error: failure });
  if (wantsJson(argv) && !written) {
    writeErr(`${JSON.stringify({ error: failure })}\n`);
    return failure.exitCode;
  }
  writeErr(`${styleErr("red", "thaw:")} ${cleanText(failure.message)}\n`);
  for (const detail of failure.details) writeErr(`  ${cleanText(detail)}\n`);
  if (failure.hint !== undefined) writeErr(`${styleErr("dim", "hint:")} ${cleanText(failure.hint)}\n`);
  return failure.exitCode;
}
