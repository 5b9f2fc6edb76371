import { expect, test, vi } from "vitest";
import { parseDetachKeys } from "../../cli/arguments/detach-keys.ts";
import { parseSince } from "../../cli/arguments/since.ts";
import { DetachReader } from "../../cli/exec-io/detach-reader.ts";
import { ReplayFilter } from "../../cli/exec-io/replay.ts";
import { TerminalModes } from "../../cli/exec-io/terminal-modes.ts";
import { LineAssembler } from "../../cli/logs/lines.ts";
import { planShell } from "../../cli/shell/shell.ts";

/** Types chunks; `…` waits a second. @returns what went on, and whether the keys left. */
async function typed(keys: string, ...chunks: string[]): Promise<{ out: string; left: boolean }> {
  vi.useFakeTimers();
  try {
    let left = false;
    let out = "";
    const reader = new DetachReader(parseDetachKeys(keys).bytes, {
      leave: () => {
        left = true;
      },
      send: (bytes) => {
        out += bytes.toString();
      },
    });
    for (const chunk of chunks) {
      if (chunk === "…") await vi.advanceTimersByTimeAsync(1000);
      else out += reader.take(Buffer.from(chunk)).toString();
    }
    return { out, left };
  } finally {
    vi.useRealTimers();
  }
}

test("detach keys: once leaves, twice is sent once", async () => {
  expect(await typed("ctrl-]", "ls\r")).toEqual({ out: "ls\r", left: false });
  expect(await typed("ctrl-]", "a\x1d")).toEqual({ out: "a", left: false });
  expect(await typed("ctrl-]", "a\x1d", "…")).toEqual({ out: "a", left: true });
  expect(await typed("ctrl-]", "a\x1db")).toEqual({ out: "a", left: true });
  expect(await typed("ctrl-]", "a\x1d", "\x1d", "…", "b")).toEqual({ out: "a\x1db", left: false });
  expect(await typed("ctrl-]", "\x1d\x1d\x1d", "…")).toEqual({ out: "\x1d", left: true });
  expect(await typed("none", "\x1d", "…")).toEqual({ out: "\x1d", left: false });
});

test("detach keys: several in a row, held back until they differ", async () => {
  const keys = "ctrl-p,ctrl-q";
  expect(await typed(keys, "\x10")).toEqual({ out: "", left: false });
  expect(await typed(keys, "\x10", "x")).toEqual({ out: "\x10x", left: false });
  expect(await typed(keys, "\x10", "…", "\x11", "…")).toEqual({ out: "\x10\x11", left: false });
  expect(await typed(keys, "\x10\x10\x11", "…")).toEqual({ out: "\x10", left: true });
  expect(await typed(keys, "\x10\x11\x10\x11", "…")).toEqual({ out: "\x10\x11", left: false });
  expect(await typed(keys, "\x10\x11\x10x")).toEqual({ out: "", left: true });
  expect(await typed("ctrl-a,ctrl-a,d", "\x01\x01\x01d", "…")).toEqual({ out: "\x01", left: true });
});

test("detach keys: as terminals write them when asked to report keys in full", async () => {
  expect(await typed("ctrl-]", "\x1b[93;5u", "…")).toEqual({ out: "", left: true });
  expect(await typed("ctrl-]", "\x1b[27;5;93~", "…")).toEqual({ out: "", left: true });
  expect(await typed("ctrl-]", "\x1b[A", "…")).toEqual({ out: "\x1b[A", left: false });
});

test("detach keys are written as people write them", () => {
  expect(parseDetachKeys("ctrl-]")).toEqual({ bytes: Buffer.from([0x1d]), label: "Ctrl-]" });
  expect(parseDetachKeys("Ctrl-P,ctrl-q")).toEqual({
    bytes: Buffer.from([0x10, 0x11]),
    label: "Ctrl-P Ctrl-Q",
  });
  expect(parseDetachKeys("^a,d").bytes).toEqual(Buffer.from([1, 0x64]));
  for (const wrong of ["q", "ctrl-", "ctrl-1", "ctrl-p,", "d,ctrl-a"])
    expect(() => parseDetachKeys(wrong)).toThrow();
});

test("what programs did to the terminal is undone, and nothing else", () => {
  const after = (...chunks: string[]): string => {
    const modes = new TerminalModes();
    for (const chunk of chunks) modes.note(Buffer.from(chunk));
    return modes.undo();
  };
  expect(after("plain \x1b[31mred\x1b[0m")).toBe("");
  expect(after("\x1b[?1049h\x1b[?25l")).toBe("\x1b[?1049l\x1b[?25h\x1b[0m");
  expect(after("\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l")).toBe("");
  expect(after("\x1b[?20", "04h")).toBe("\x1b[?2004l\x1b[0m");
  expect(after("\x1b[?1000;1006h", "\x1b=")).toBe("\x1b[?1000l\x1b[?1006l\x1b>\x1b[0m");
});

test("a replay asks the terminal nothing; what follows passes", () => {
  const through = (bytes: number, ...chunks: string[]): string => {
    const filter = new ReplayFilter(bytes);
    return chunks.map((chunk) => filter.take(Buffer.from(chunk, "latin1")).toString("latin1")).join("");
  };
  const asked = "a\x1b[6nb\x1b[c\x1b[>0cc\x1b]11;?\x07d\x1bP+q544e\x1b\\e\x1b[?2026$pf\x1b[>qg\x1b[18t";
  expect(through(asked.length, asked)).toBe("abcdefg");
  expect(through(7, "a\x1b[", "6nb\x1b[6n")).toBe("ab\x1b[6n");
  const kept = "\x1b[31m\x1b[2 q\x1b[22;0t\x1b]0;title\x07\x1b[?25l";
  expect(through(1000, kept)).toBe(kept);
  expect(through(3, "x\x1b[", "31m")).toBe("x\x1b[31m");
});

test("lines are put together from pieces, each with the time it began", () => {
  const lines = new LineAssembler();
  const at = (ms: number) => new Date(ms);
  expect(lines.push(Buffer.from("a\nb"), at(1))).toEqual([{ time: at(1), text: "a" }]);
  expect(lines.push(Buffer.from([0xc3]), at(2))).toEqual([]);
  expect(lines.push(Buffer.from([0xa9, 0x0a, 0x0a]), at(3))).toEqual([
    { time: at(1), text: "bé" },
    { time: at(3), text: "" },
  ]);
  expect(lines.push(Buffer.from("rest"), at(4))).toEqual([]);
  expect(lines.end()).toEqual([{ time: at(4), text: "rest" }]);
  expect(new LineAssembler().push(Buffer.alloc(200_000, "x"), at(1)).map(({ text }) => text.length)).toEqual([
    65_536, 65_536, 65_536,
  ]);
});

test("since: how long ago, or a time", () => {
  expect(Date.now() - parseSince("10m").getTime()).toBeLessThan(610_000);
  expect(parseSince("2026-01-31T12:00:00Z").toISOString()).toBe("2026-01-31T12:00:00.000Z");
  for (const wrong of ["soon", "2026-13-01", ""]) expect(() => parseSince(wrong)).toThrow();
});

test("a shell's terminal is one that guests know", () => {
  expect(planShell({}, { TERM: "tmux-256color" })).toMatchObject({
    env: { TERM: "tmux-256color" },
    stdin: true,
  });
  expect(planShell({}, { TERM: "alacritty-direct" }).env).toEqual({ TERM: "xterm-256color" });
  expect(planShell({ env: { TERM: "dumb" } }, {}).env).toEqual({ TERM: "dumb" });
});
