/** The table of `thaw top`, and how it is drawn over itself. */
import headless from "@xterm/headless";
import { expect, test } from "vitest";
import { drawFrame } from "../../cli/top/draw-frame.ts";
import { formatUsage } from "../../cli/top/usage.ts";
import type { StatsSample } from "../../client/index.ts";

const one = { rssBytes: 0, state: "running", createdAt: "2026-01-01T00:00:00Z" };
const sample: StatsSample = {
  time: "2026-01-01T00:12:00Z",
  host: { memoryMib: 65_536, availableMib: 32_768, cpus: 16 },
  sandboxes: [
    { ...one, id: "1", name: "b", pssBytes: 100 << 20, cpuMs: 1000, cpuPercent: 30 },
    { ...one, id: "2", name: "new", pssBytes: 50 << 20, cpuMs: 10, cpuPercent: null },
    { ...one, id: "3", name: "a", pssBytes: 300 << 20, cpuMs: 90_000, cpuPercent: 101.6, state: "paused" },
  ],
};

test("a line of the host, and sandboxes in the order that was asked for", () => {
  expect(formatUsage(sample, "cpu")).toBe(
    [
      "3 sandboxes: 132% CPU, 450 MiB; host: 16 processors, 32 GiB of 64 GiB available",
      "NAME  STATE    CPU   MEMORY   CPU TIME  CREATED",
      "a     paused   102%  300 MiB  90.0s     12m ago",
      "b     running  30%   100 MiB  1.0s      12m ago",
      "new   running  –     50 MiB   0.0s      12m ago\n",
    ].join("\n"),
  );
  const names = (sort: "memory" | "name") =>
    formatUsage(sample, sort)
      .split("\n")
      .slice(2, -1)
      .map((line) => line.split(" ")[0]);
  expect(names("memory")).toEqual(["a", "b", "new"]);
  expect(names("name")).toEqual(["a", "b", "new"]);
  expect(formatUsage({ ...sample, sandboxes: [] }, "cpu")).toMatch(
    /^0 sandboxes: 0% CPU, 0 B; .*\nNAME .*\n$/,
  );
});

test("a frame takes the place of the one before, whatever its length, and no more than the screen", async () => {
  const terminal = new headless.Terminal({ cols: 20, rows: 6, convertEol: true, allowProposedApi: true });
  const show = (text: string) => new Promise<void>((resolve) => terminal.write(text, resolve));
  const screen = () =>
    Array.from({ length: 6 }, (_, row) => terminal.buffer.active.getLine(row)?.translateToString(true));
  const size = { columns: 20, rows: 6 };
  await show("$ thaw top\n");
  let frame = drawFrame("first\nlonger than the terminal is\nthird\n", { ...size, drawnLines: 0 });
  await show(frame.text);
  expect(screen()).toEqual(["$ thaw top", "first", "longer than the ter", "third", "", ""]);
  frame = drawFrame("1\n2\n", { ...size, drawnLines: frame.lines });
  await show(frame.text);
  expect(screen()).toEqual(["$ thaw top", "1", "2", "", "", ""]);
  frame = drawFrame("1\n2\n3\n4\n5\n6\n7\n", { ...size, drawnLines: frame.lines });
  await show(frame.text);
  const full = ["1", "2", "3", "4", "… 3 more", ""];
  expect([frame.lines, terminal.buffer.active.baseY]).toEqual([5, 1]);
  frame = drawFrame("1\n2\n3\n4\n5\n6\n7\n", { ...size, drawnLines: Number.POSITIVE_INFINITY });
  await show(frame.text);
  expect(terminal.buffer.active.baseY).toBe(1);
  terminal.scrollToBottom();
  const below = Array.from({ length: 6 }, (_, row) =>
    terminal.buffer.active.getLine(terminal.buffer.active.baseY + row)?.translateToString(true),
  );
  expect(below).toEqual(full);
});
