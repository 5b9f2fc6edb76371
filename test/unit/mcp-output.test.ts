/** Pages of a command's output as agents get them: what is no longer kept is no part of a page, and the offsets tell where it was. */
import { expect, test } from "vitest";
import type { ExecReference } from "../../client/index.ts";
import { readEnds, readOutput } from "../../mcp/commands.ts";

const pieces = [
  { channel: "stdout", time: new Date(0), offset: 0, data: Buffer.from("one\n") },
  { channel: "stdout", droppedUntil: 100 },
  { channel: "stdout", time: new Date(0), offset: 100, data: Buffer.from("two\n") },
  { channel: "stderr", droppedUntil: 7 },
];
const exec = {
  logs: async function* () {
    yield* pieces;
  },
} as unknown as ExecReference;
const { signal } = new AbortController();

test("a page ends before a gap, and the next one begins after it", async () => {
  const first = await readOutput(exec, { channel: "stdout", offset: 0, signal });
  expect(first).toMatchObject({ text: "one\n", offset: 0, total: 104 });
  const second = await readOutput(exec, { channel: "stdout", offset: 4, signal });
  expect(second).toMatchObject({ text: "two\n", offset: 100, total: 104 });
});

test("an end of which nothing is kept tells how much there was", async () => {
  const { stdout, stderr } = await readEnds(exec, signal);
  expect(stdout).toMatchObject({ text: "two\n", offset: 100, total: 104 });
  expect(stderr).toMatchObject({ text: "", offset: 7, total: 7 });
});
