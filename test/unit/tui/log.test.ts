/** What the dashboard's log makes of a command's output. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { KEPT_LINES } from "../../../cli/tui/state/state.ts";
import { lastWriting, readLines } from "../../../cli/tui/views/sandboxes/log.ts";
import type { PanePart } from "../../../cli/tui/views/view.ts";

const many = "\r".repeat(65_536);

test.each([
  ["what was written over", "10 %\r50 %\r100 %\r", "100 %"],
  ["nothing but returns", many, ""],
  ["many returns", `${many}x`, "x"],
  ["an empty line", "", ""],
  ["colours", "\x1b[32m✓\x1b[0m done\x1b[K", "✓ done"],
  ["a long line", "y".repeat(60_000), "y".repeat(2000)],
])("a line is as a terminal leaves it: %s", (_what, text, shown) => {
  expect(lastWriting(text)).toBe(shown);
});

async function read(
  chunks: readonly (string | Buffer)[],
  mayFlood: boolean,
): Promise<{ texts: string[]; isWhole: boolean }> {
  async function* source() {
    for (const data of chunks) {
      await turn();
      yield {
        channel: "stdout" as const,
        time: new Date(0),
        data: typeof data === "string" ? Buffer.from(data) : data,
      };
    }
  }
  const parts: PanePart[] = [];
  const reading = readLines(source(), { head: undefined, mayFlood });
  for (let next = await reading.next(); ; next = await reading.next()) {
    if (next.done === true)
      return {
        texts: parts.flatMap(({ lines }) => lines.map((line) => line.at(-1)?.text ?? "")),
        isWhole: next.value,
      };
    parts.push(next.value);
  }
}

test("lines that come in pieces are whole, and what has no end is shown when no more comes", async () => {
  const pieces = Buffer.from("日本\na");
  const { texts, isWhole } = await read([pieces.subarray(0, 2), pieces.subarray(2), "b\n", "c"], true);
  expect({ texts, isWhole }).toEqual({ texts: ["日本", "ab", "c"], isWhole: true });
});

test("of a flood no more is kept than is shown, and the reader is told to begin anew; what has ended is read whole", async () => {
  const flood = ["y\n".repeat(50_000), "z\n"];
  const running = await read(flood, true);
  expect(running.isWhole).toBe(false);
  expect(running.texts).toHaveLength(KEPT_LINES + 1);
  expect(running.texts.at(-1)).toContain("faster than it can be shown");
  const ended = await read(flood, false);
  expect(ended.isWhole).toBe(true);
  expect(ended.texts.at(-1)).toBe("z");
});
