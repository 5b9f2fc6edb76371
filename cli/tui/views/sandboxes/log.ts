/** The output of a sandbox's newest command, as it comes, bounded in speed and length. */
import { setTimeout as pause } from "node:timers/promises";
import type { ExecInfo, Thaw } from "../../../../client/index.ts";
import { stripSequences } from "../../../format/clean-text.ts";
import { formatCommand, formatEnd } from "../../../format/ending.ts";
import { LineAssembler, type LogLine } from "../../../logs/lines.ts";
import type { Line } from "../../draw/text.ts";
import { KEPT_LINES } from "../../follow/pane.ts";
import { plain, timeOfDay } from "../common.ts";
import type { PanePart } from "../view.ts";

const BATCH_MS = 50;
/** When a command writes faster than this, the log is read anew from its end. */
const BYTES_PER_BATCH = 1 << 20;
/** Lines that are then read. */
const TAIL = 400;
/** A longer line does not fit into any window. */
const SHOWN_CHARS = 2000;

type Channel = "stdout" | "stderr";

function format({ time, text }: LogLine, channel: Channel): Line {
  // a line that was written over by carriage returns is as its last writing
  const last = text.replace(/\r+$/, "").split("\r").at(-1) ?? "";
  const bare = stripSequences(last.slice(0, SHOWN_CHARS));
  return [
    { text: `${timeOfDay(time)} `, tone: "dim" },
    { text: bare, tone: channel === "stderr" ? "warn" : undefined },
  ];
}

/** The newest command that runs, else the newest. */
export function chooseExec(execs: readonly ExecInfo[]): ExecInfo | undefined {
  const newest = execs.toSorted((a, b) => b.startedAt.localeCompare(a.startedAt));
  return newest.find(({ state }) => state === "running" || state === "starting") ?? newest[0];
}

export async function* followLog(
  client: Thaw,
  exec: ExecInfo,
  signal: AbortSignal,
): AsyncGenerator<PanePart, void> {
  const command: Line[] = [plain(`$ ${formatCommand(exec.argv, 400)}`, "accent")];
  yield { lines: command, anew: true };
  let anew = false;
  for (;;) {
    const flood = new AbortController();
    const read = client.sandboxes
      .at(exec.sandbox)
      .execAt(exec.id)
      .logs({ tail: TAIL, follow: true, signal: AbortSignal.any([signal, flood.signal]) });
    const isDone = yield* readBatches(read, anew ? command : []);
    if (isDone) break;
    flood.abort();
    await read.return(exec).catch(() => {});
    await pause(500, undefined, { signal });
    anew = true;
  }
  const ended = await client.sandboxes.at(exec.sandbox).execAt(exec.id).get({ signal });
  if (ended.exit !== null)
    yield { lines: [plain(`— ${formatEnd(ended.exit)} —`, ended.exit.code === 0 ? "good" : "bad")] };
}

/** Reads lines, some at a time. @returns false when they come too fast to be read. */
async function* readBatches(
  chunks: AsyncIterable<
    { channel: Channel; time: Date; data: Uint8Array } | { channel: Channel; droppedUntil: number }
  >,
  head: Line[],
): AsyncGenerator<PanePart, boolean> {
  const assemblers = { stdout: new LineAssembler(), stderr: new LineAssembler() };
  let lines: Line[] = [...head];
  let isFirst = head.length > 0;
  let bytes = 0;
  let since = performance.now();
  const take = (): PanePart => {
    const part = { lines: lines.slice(-KEPT_LINES), anew: isFirst };
    lines = [];
    isFirst = false;
    return part;
  };
  const source = chunks[Symbol.asyncIterator]();
  let next = source.next();
  for (;;) {
    const timer = new AbortController();
    const late = pause(BATCH_MS, "late" as const, { signal: timer.signal }).catch(() => "late" as const);
    const step = lines.length === 0 ? await next : await Promise.race([next, late]);
    timer.abort();
    if (step === "late") {
      yield take();
      since = performance.now();
      bytes = 0;
      continue;
    }
    if (step.done === true) break;
    next = source.next();
    if ("data" in step.value) {
      const { channel, data, time } = step.value;
      bytes += data.length;
      for (const line of assemblers[channel].push(data, time)) lines.push(format(line, channel));
    } else lines.push(plain("… earlier output is no longer kept", "dim"));
    if (performance.now() - since > BATCH_MS) {
      if (lines.length > 0) yield take();
      since = performance.now();
      bytes = 0;
    }
    if (bytes > BYTES_PER_BATCH) {
      next.catch(() => {});
      lines.push(plain("… output comes faster than it can be shown", "dim"));
      yield take();
      return false;
    }
  }
  for (const channel of ["stdout", "stderr"] as const)
    for (const line of assemblers[channel].end()) lines.push(format(line, channel));
  if (lines.length > 0) yield take();
  return true;
}
