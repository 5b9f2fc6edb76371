import { expect, test } from "vitest";
import { countEdits, suggestNearest } from "../../api/nearest.ts";
import { formatStoreCheck } from "../../cli/capture/check.ts";
import { formatReport } from "../../cli/doctor/doctor.ts";
import { readExitStatus } from "../../cli/exec-io/exit-status.ts";
import { formatAge, formatElapsed } from "../../cli/format/age.ts";
import { cleanText, stripSequences } from "../../cli/format/clean-text.ts";
import { formatSize } from "../../cli/format/size.ts";
import { formatTable } from "../../cli/format/table.ts";
import { formatSandboxes } from "../../cli/ls/list.ts";
import { ended, sampleSandbox } from "./client-server.ts";

const now = Date.parse("2026-01-01T00:00:40Z");

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1024, "1.0 KiB"],
  [312 * 2 ** 20, "312 MiB"],
  [1.1 * 2 ** 20, "1.1 MiB"],
  [1000 * 2 ** 20, "1.0 GiB"],
])("%d bytes are %s", (bytes, text) => expect(formatSize(bytes)).toBe(text));

test("ages and lengths of time", () => {
  expect(formatAge("2026-01-01T00:00:00Z", now)).toBe("40s ago");
  expect(formatAge("2025-12-31T23:48:00Z", now)).toBe("12m ago");
  expect(formatAge("2025-12-30T00:00:00Z", now)).toBe("2d ago");
  expect(formatAge("2027-01-01T00:00:00Z", now)).toBe("0s ago");
  expect([100, 31_200, 245_000, 3_720_000].map(formatElapsed)).toEqual(["0.1s", "31.2s", "4m 05s", "1h 02m"]);
});

test("a guest's text can't drive the terminal", () => {
  expect(cleanText("a\u001b[31mb\u0007\r\nc\td\u202ee\u009bf")).toBe("a[31mbc def");
  expect(
    formatTable(
      ["A", "B"],
      [
        ["x\ny", ""],
        ["longer", "z"],
      ],
    ),
  ).toBe("A       B\nxy      –\nlonger  z\n");
});

test.each([
  ["colours", "\x1b[31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m", "red true"],
  ["what tput sgr0 writes", "bold\x1b(B\x1b[m.", "bold."],
  ["titles and the clipboard", "\x1b]0;owned\x07a\x1b]52;c;aGk=\x1b\\b", "ab"],
  ["links", "\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "text"],
  ["strings of devices and applications", "a\x1bPq#0;2;0\x1b\\b\x1b_Gi=1;AA\x1b\\c\x1b^x\x1b\\d", "abcd"],
  ["a string without an end", "a\x1b]0;b", "a"],
  ["the cursor, saved and restored; a reset", "a\x1b7b\x1b8c\x1bcd\x1b=e\x1b#8f", "abcdef"],
  ["one in another", "\x1b[3\x1b[31mx", "x"],
  ["parts of letters that were decoded twice", "\xd0\x90\xd0\x9b", "\xd0\x90\xd0\x9b"],
])("a guest's control sequences are left out whole: %s", (_what, text, left) => {
  expect(stripSequences(text)).toBe(left);
});

test("the table of sandboxes", () => {
  const failed = { ...sampleSandbox, name: "b", state: "failed" as const, reason: "kernel panic \u001b[2J" };
  expect(formatSandboxes([sampleSandbox, failed], { nowMs: now })).toBe(
    [
      "NAME      STATE                     FROM  ISOLATION  CPUS  MEMORY   CREATED  NEXT  ID",
      "calm-fox  running                   base  kvm        1     256 MiB  40s ago  –     s1",
      "b         failed: kernel panic [2J  base  kvm        1     256 MiB  40s ago  –     s1",
      "",
    ].join("\n"),
  );
});

test("the doctor's report", () => {
  const report = formatReport({
    ready: false,
    probes: [
      { name: "qemu", state: "ok", fatal: true, detail: "7.2.22" },
      { name: "jail", state: "missing", fatal: true, detail: "no bwrap", hint: "apt-get install bubblewrap" },
    ],
  });
  expect(report).toContain(" ✓ qemu           7.2.22\n");
  expect(report).toContain("                  → apt-get install bubblewrap\n");
  expect(report).toContain("not ready");
});

test("near names are suggested, far ones are not", () => {
  expect(countEdits("kitten", "sitting")).toBe(3);
  expect(suggestNearest("nod", ["node", "python"], "thaw template ls")).toBe(
    "did you mean node? (thaw template ls)",
  );
  expect(suggestNearest("zzz", ["node", "python"], "thaw template ls")).toBe("thaw template ls");
});

test("exit codes: the command's own, a signal's, a timeout's", () => {
  const exit = { code: 7, signal: null, oom: false, timedOut: false, durationMs: 1 };
  expect(readExitStatus(ended(7))).toEqual({ code: 7, explanation: undefined });
  expect(readExitStatus({ ...ended(0), exit: { ...exit, code: null, signal: "SIGKILL" } }).code).toBe(137);
  expect(
    readExitStatus({ ...ended(0), exit: { ...exit, code: null, signal: "SIGKILL", oom: true } }).explanation,
  ).toMatch(/memory/);
  expect(readExitStatus({ ...ended(0), exit: { ...exit, timedOut: true } })).toMatchObject({ code: 124 });
  const error = { code: "exec-not-found" as const, message: "no" };
  expect(() => readExitStatus({ ...ended(0), exit: null, error })).toThrow("no");
});

test("a check of a capture in a store names the hosts that can do more", () => {
  const level = (name: "memory" | "disk" | "files", ok: boolean) => ({
    level: name,
    ok,
    reasons: ok ? [] : ["it was made under kvm"],
    bytes: 12 << 20,
  });
  const report = {
    capture: "fail-7k2qxz",
    levels: [level("memory", false), level("disk", true), level("files", true)],
    best: "disk" as const,
    downloadBytes: 48 << 20,
    full: null,
    resumesIn: ["ci-3"],
  };
  expect(formatStoreCheck(report, "oci:reg/failures:x")).toBe(
    [
      "memory  no    it was made under kvm",
      "disk    yes   its disk is booted; 12 MiB to open",
      "files   yes   its files can be read; 12 MiB to open",
      "best here: disk   thaw replay oci:reg/failures:x",
      "as it was: thaw --context ci-3 replay oci:reg/failures:x   (ci-3 can resume memory)",
      "to download: 48 MiB\n",
    ].join("\n"),
  );
});
