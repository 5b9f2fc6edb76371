import { performance } from "node:perf_hooks";
import { describe, expect, test } from "vitest";
import { GuestLog } from "../../../action/log.ts";
import { neutralise } from "../../../action/neutralise.ts";

function logOf(): { log: GuestLog; text: () => string; bytes: () => number; writes: string[] } {
  const writes: string[] = [];
  let bytes = 0;
  const write = (text: string): void => {
    bytes += text.length;
    if (bytes < 4 << 20) writes.push(text);
  };
  return {
    log: new GuestLog({ write, token: "tok" }),
    text: () => writes.join(""),
    bytes: () => bytes,
    writes,
  };
}

/** Commands by the runner's rules (ActionCommand.TryParseV2 and TryParse), with comparisons that pass over what has no width. */
function commandsIn(text: string): string[] {
  const lines = text
    .split(/\r\n|\n|\r/)
    .map((line) => line.replace(/[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}]/gu, ""));
  return lines.filter((line) => {
    const trimmed = line.trimStart();
    return (trimmed.startsWith("::") && trimmed.indexOf("::", 2) >= 0) || /##\[[^\]]*\]/.test(line);
  });
}

const hostile = [
  "::set-output name=x::1",
  "::SET-ENV name=PATH::/evil",
  "  ::add-mask::x",
  "\t::error::x",
  "\u00a0\u2003::error::x",
  "\ufeff::error::x",
  "\u200b::error::x",
  ":\u200b:error::x",
  ":\u200d\u2060:error::x",
  ":\u0000:error::x",
  "\u0000::error::x",
  "\u001b[31m::error::x",
  ":\u001b[0m:error::x",
  "\u001b]0;t\u0007::error::x",
  "foo ##[error]bar",
  "foo ##[ERROR]bar",
  "foo #\u00ad#\u200b[error]bar",
  "a\r::error::x",
  "a\r\r::error::x",
  "progress 10%\r::stop-commands::z\rprogress 20%",
  "::stop-commands::tok",
  "::tok::",
  "::::",
  "::::error::x",
  ":::error::x",
  "##[start-action id=x]",
  "##[group]x",
  "####[error]x",
  "\u2028::error::x",
  "\u0085::error::x",
  "\v\f::error::x",
  "\u061c::error::x",
  "\u202e::error::x",
];

describe("no workflow command of a guest is honoured", () => {
  test.each(hostile.map((line) => [JSON.stringify(line), line]))("%s", async (_name, line) => {
    for (const size of [1, 2, 3, 1000]) {
      const { log, text } = logOf();
      const bytes = Buffer.from(`${line}\nend\n`);
      for (let at = 0; at < bytes.length; at += size) await log.stdout.push(bytes.subarray(at, at + size));
      await log.closeFence();
      expect(commandsIn(text())).toEqual([]);
      expect(text()).toContain("end\n");
    }
  });

  test("two streams are told in whole lines, and never make one line together", async () => {
    const { log, text } = logOf();
    await log.stdout.push(Buffer.from(":"));
    await log.stderr.push(Buffer.from(":error::x\n"));
    await log.stdout.push(Buffer.from(":error::y\n"));
    expect(text()).toBe(":error::x\n:\\:error::y\n");
  });

  test("our own lines may quote a guest", async () => {
    const { log, text } = logOf();
    await log.say("not sent: a\n::error::b ##[error]c");
    expect(text()).toBe("thaw: not sent: a :\\:error::b ##\\[error]c\n");
  });
});

describe("what is harmless stays as it is", () => {
  test.each([
    "std::vector<int>::push_back",
    "use a::b::c;",
    "\u001b[31mred\u001b[0m",
    "# [x] ## [y]",
    "👩‍👩‍👧 ok",
    "10:30::20",
    "\tindented",
  ])("%s", (line) => expect(neutralise(`${line}\n`)).toBe(`${line}\n`));

  test("invalid UTF-8 is shown as such, a letter split over chunks is whole", async () => {
    const { log, text } = logOf();
    await log.stdout.push(Buffer.from([0xc3]));
    await log.stdout.push(Buffer.from([0xa4, 0x0a, 0xff, 0x0a]));
    expect(text()).toBe("ä\n\ufffd\n");
  });
});

describe("it stays bounded and live", () => {
  test("a line of 10 MB is told in pieces while it comes, and holds nothing", async () => {
    const { log, bytes, writes } = logOf();
    const chunk = Buffer.alloc(65_536, "x");
    for (let sent = 0; sent < 10 << 20; sent += chunk.length) await log.stdout.push(chunk);
    expect(bytes()).toBeGreaterThan(10 * 1_000_000);
    expect(Math.max(...writes.map((text) => text.length))).toBeLessThan(200_000);
    await log.stdout.push(Buffer.from("::error::x\nend\n"));
    await log.closeFence();
  });

  test("whatever is printed, it costs its length", async () => {
    const kinds = [
      "\n",
      " ",
      "\ufeff",
      "\u200b",
      ":",
      "#",
      "::error ",
      "\u001b",
      "\u001b[",
      "\u001b]",
      "\r",
      "##[",
      "\t\ufeff",
    ];
    for (const kind of kinds) {
      const { log } = logOf();
      const chunk = Buffer.from(kind.repeat(20_000));
      const started = performance.now();
      for (let count = 0; count < 2; count += 1) await log.stdout.push(chunk);
      await log.closeFence();
      // What is quadratic takes minutes.
      expect(performance.now() - started, JSON.stringify(kind)).toBeLessThan(20_000);
    }
  });

  test("the fence opens and closes on lines of its own; the end is kept for the summary", async () => {
    const { log, text } = logOf();
    await log.openFence();
    await log.stdout.push(Buffer.from("one\ntwo\nno line end"));
    await log.closeFence();
    expect(text()).toBe("::stop-commands::tok\none\ntwo\nno line end\n::tok::\n");
    expect(log.lastLines(2)).toEqual(["two", "no line end"]);
  });
});
