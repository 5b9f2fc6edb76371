import { showPath, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { abortOnSignals } from "../exec-io/signals.ts";
import { cleanText } from "../format/clean-text.ts";
import { printJson, styleErr, writeErr } from "../output.ts";
import { Meter } from "../progress/meter.ts";
import { copyCaptured, isCapture } from "./copy-captured.ts";
import { type Copied, type CopyOptions, copyIn, copyStdinIn } from "./copy-in.ts";
import { copyOut, copyOutToStdout } from "./copy-out.ts";
import { type Operand, parseOperand } from "./operand.ts";

/** Flags of `thaw cp`. */
export interface CpFlags {
  user?: string;
  json?: boolean;
  verbose?: boolean;
}

/** Not all was copied. */
const PARTLY_EXIT_CODE = 1;
const SHOWN_SKIPPED = 10;

/** How to copy between two operands. @throws ThawError `usage` unless exactly one of them is a sandbox's. */
function planCopy(
  from: Operand,
  to: Operand,
  flags: CpFlags,
): (client: Thaw, options: CopyOptions) => Promise<Copied> {
  if (from.kind === "guest" && to.kind === "guest")
    throw new ThawError("usage", "one side of a copy is on this host", {
      hint: "thaw cp A:/path - | thaw cp - B:/path, or copy to a folder here first",
    });
  if (from.kind === "guest") {
    if (flags.user !== undefined)
      throw new ThawError("usage", "--user is for copies into a sandbox; here files are yours");
    if (to.kind === "stream" && flags.json === true)
      throw new ThawError("usage", "--json and - both want stdout", { hint: "leave out --json" });
    if (isCapture(from.sandbox) && to.kind !== "guest")
      return (client, options) =>
        copyCaptured(client, from, to, { ...options, verbose: flags.verbose === true });
    return (client, options) => {
      const { files } = client.sandboxes.at(from.sandbox);
      return to.kind === "local"
        ? copyOut(files, from, to.path, options)
        : copyOutToStdout(files, from, options);
    };
  }
  if (to.kind !== "guest")
    throw new ThawError("usage", "one side of a copy is in a sandbox", { hint: "thaw cp web:/path ." });
  return (client, options) =>
    from.kind === "local" ? copyIn(client, from.path, to, options) : copyStdinIn(client, to, options);
}

/** Whose copies are to be: who execs run as, unless it is said. */
async function findOwner(client: Thaw, to: Operand, flags: CpFlags): Promise<string | undefined> {
  if (to.kind !== "guest") return undefined;
  if (flags.user !== undefined) return flags.user;
  const { info } = await client.sandboxes.get(to.sandbox);
  return (await client.snapshots.get(info.snapshot)).defaults.user;
}

function warn(text: string): void {
  writeErr(`${styleErr("yellow", "thaw:")} ${text}\n`);
}

function warnOf(what: string, entries: readonly { path: string; reason: string }[]): void {
  for (const { path, reason } of entries.slice(0, SHOWN_SKIPPED)) warn(`${what}: ${path}: ${reason}`);
  if (entries.length > SHOWN_SKIPPED) warn(`${what}: ${entries.length - SHOWN_SKIPPED} more`);
}

/** `thaw cp`. @returns 0; 1 when something could not be part of the copy, which is named. */
export async function copy(from: string, to: string, flags: CpFlags): Promise<number> {
  const source = parseOperand(from);
  const target = parseOperand(to);
  const work = planCopy(source, target, flags);
  return withClient(async (client) => {
    using interrupt = abortOnSignals();
    const { signal } = interrupt;
    const user = await findOwner(client, target, flags);
    const {
      entries,
      bytes,
      skipped,
      reduced = [],
      notes = [],
    } = await (async () => {
      using meter = new Meter(`${from} → ${to}`, { lines: false });
      return await work(client, { user, meter, signal });
    })();
    const left = skipped.map(({ path, reason }) => ({ path: showPath(path), reason }));
    warnOf("not copied", left);
    warnOf(
      "copied without all its rights",
      reduced.map(({ path, reason }) => ({ path: showPath(path), reason })),
    );
    for (const note of notes) warn(cleanText(note));
    if (flags.json === true) printJson({ entries, bytes, skipped: left });
    return left.length > 0 ? PARTLY_EXIT_CODE : 0;
  });
}
