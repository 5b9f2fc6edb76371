/** The output of a sandbox's newest command, as it comes, bounded in speed and length. */
import { setTimeout as pause } from "node:timers/promises";
import type { ExecInfo, Thaw } from "../../../../client/index.ts";
import { stripSequences } from "../../../format/clean-text.ts";
import { formatCommand, formatEnd } from "../../../format/ending.ts";
import { LineAssembler, type LogLine } from "../../../logs/lines.ts";
import type { Line } from "../../draw/text.ts";
import { KEPT_LINES } from "../../state/state.ts";
import { plain, timeOfDay } from "../common.ts";
import type { PanePart } from "../view.ts";

/** When a command writes more than this in such a time, the log is read anew from its end. */
const FLOOD = { withinMs: 50, bytes: 1 << 20, lines: 4 * KEPT_LINES };
const FLOOD_PAUSE_MS = 2000;
/** Lines that are read of what there is. */
const TAIL = 400;
/** A longer line does not fit into any window. */
const SHOWN_CHARS = 2000;

type Channel = "stdout" | "stderr";
type Chunk = { channel: Channel; time: Date; data: Uint8Array } | { channel: Channel; droppedUntil: number };

/** A line as a terminal leaves it: what carriage returns wrote over is gone, and so are control sequences. */
export function lastWriting(text: string): string {
  // by hand: expressions that look for an end take the square of the line's length
  let end = text.length;
  while (end > 0 && text[end - 1] === "\r") end -= 1;
  const start = end === 0 ? 0 : text.lastIndexOf("\r", end - 1) + 1;
  const shown = stripSequences(text.slice(start, Math.min(end, start + SHOWN_CHARS)));
  // A part of a string keeps the whole string in memory; a copy does not.
  return shown.length * 2 < text.length ? Buffer.from(shown).toString() : shown;
}

function format({ time, text }: LogLine, channel: Channel): Line {
  return [
    { text: `${timeOfDay(time)} `, tone: "dim" },
    { text: lastWriting(text), tone: channel === "stderr" ? "warn" : undefined },
  ];
}

const isOver = ({ state }: ExecInfo): boolean => state === "exited" || state === "failed";

export async function* followLog(
  client: Thaw,
  exec: ExecInfo,
  signal: AbortSignal,
): AsyncGenerator<PanePart, void> {
  const command: Line[] = [plain(`$ ${formatCommand(exec.argv, 400)}`, "accent")];
  yield { lines: command, anew: true };
  const at = client.sandboxes.at(exec.sandbox).execAt(exec.id);
  let head: Line[] | undefined;
  let now = exec;
  for (;;) {
    const read = at.logs({ tail: TAIL, follow: true, signal });
    // a command that has ended writes no more: its last lines are read whole, however many bytes they are
    const isWhole = yield* readLines(read, { head, mayFlood: !isOver(now) });
    now = await at.get({ signal });
    if (isWhole) break;
    await pause(FLOOD_PAUSE_MS, undefined, { signal });
    head = command;
  }
  if (now.exit !== null)
    yield { lines: [plain(`— ${formatEnd(now.exit)} —`, now.exit.code === 0 ? "good" : "bad")] };
}

/**
 * Reads lines as they come.
 * @param how head: replaces what is shown, when the first line comes
 * @returns false when they come too fast to be read
 */
export async function* readLines(
  chunks: AsyncIterable<Chunk>,
  { head, mayFlood }: { head: Line[] | undefined; mayFlood: boolean },
): AsyncGenerator<PanePart, boolean> {
  const assemblers = { stdout: new LineAssembler(), stderr: new LineAssembler() };
  let before = head;
  const part = (lines: Line[]): PanePart => {
    const all: PanePart = before === undefined ? { lines } : { lines: [...before, ...lines], anew: true };
    before = undefined;
    return all;
  };
  let window = { since: performance.now(), bytes: 0, lines: 0 };
  for await (const chunk of chunks) {
    if (!("data" in chunk)) {
      yield part([plain("… earlier output is no longer kept", "dim")]);
      continue;
    }
    const { channel, data, time } = chunk;
    const lines = assemblers[channel].push(data, time);
    const now = performance.now();
    if (now - window.since > FLOOD.withinMs) window = { since: now, bytes: 0, lines: 0 };
    window.bytes += data.length;
    window.lines += lines.length;
    const isFlood = mayFlood && (window.bytes > FLOOD.bytes || window.lines > FLOOD.lines);
    const shown = lines.slice(-KEPT_LINES).map((line) => format(line, channel));
    if (isFlood) shown.push(plain("… output comes faster than it can be shown", "dim"));
    if (shown.length > 0) yield part(shown);
    if (isFlood) return false;
  }
  for (const channel of ["stdout", "stderr"] as const)
    yield part(assemblers[channel].end().map((line) => format(line, channel)));
  return true;
}
