/** The last lines that an exec wrote, both channels in the order they came. */
import { StringDecoder } from "node:string_decoder";
import type { ExecLog } from "../execs/log.ts";
import { positionOf } from "../execs/positions.ts";

const MAX_LINE_CHARS = 1000;

export async function lastLines(log: ExecLog, count: number): Promise<string[]> {
  const from = await positionOf(log, { tail: count });
  const decoders = { 1: new StringDecoder("utf8"), 2: new StringDecoder("utf8") };
  const open = { 1: "", 2: "" };
  const lines: string[] = [];
  for await (const { channel, data } of log.readAll({ 1: from.out, 2: from.err })) {
    const [first = "", ...rest] = (open[channel] + decoders[channel].write(data)).split("\n");
    const whole = [first, ...rest];
    // A line that never ends is cut, not kept.
    open[channel] = (whole.pop() ?? "").slice(0, MAX_LINE_CHARS);
    lines.push(...whole);
    if (lines.length > 4 * count) lines.splice(0, lines.length - count);
  }
  lines.push(...[open[1], open[2]].filter((line) => line !== ""));
  return lines.slice(-count).map((line) => line.slice(0, MAX_LINE_CHARS));
}
