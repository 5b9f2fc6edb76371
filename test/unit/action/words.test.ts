import { describe, expect, test } from "vitest";
import { nameFor, verdictOf } from "../../../action/capture.ts";
import { MAX_FILE_BYTES, parseGuestOutputs } from "../../../action/guest-outputs.ts";
import { packagesIn } from "../../../action/host.ts";
import { codeBlock, escapeMarkdown, inlineCode } from "../../../action/markdown.ts";
import { isHosted, isJobContainer } from "../../../action/place.ts";
import { commandFor, titleOf } from "../../../action/script.ts";

const parse = (text: string | Uint8Array, names: string[] = ["a", "b"]) => {
  const { values, refused } = parseGuestOutputs(typeof text === "string" ? Buffer.from(text) : text, names);
  return { values: Object.fromEntries(values), refused };
};

describe("outputs of a guest", () => {
  test("values on a line and in a block, with EOF and other delimiters inside; the last one counts", () => {
    const text = "a=1\na=x=y<<z\nb<<EOF\nline\nEOF \n EOF\nb=2\n\nEOF\n";
    expect(parse(text)).toEqual({ values: { a: "x=y<<z", b: "line\nEOF \n EOF\nb=2\n" }, refused: [] });
    expect(parse("b<<x-1\na=0\nx-1\r\na=1\r\n")).toEqual({ values: { a: "1", b: "a=0" }, refused: [] });
  });

  test("what is not listed, or breaks the format, is refused by name", () => {
    expect(parse("c=1\na=1\n").refused).toEqual(['"c" is not listed in `outputs`']);
    expect(parse("a=1\nb<<EOF\nx\n")).toEqual({
      values: { a: "1" },
      refused: ['the value of "b" has no closing delimiter'],
    });
    expect(parse("a=1\nnonsense\nb=2\n").values).toEqual({ a: "1" });
    expect(parse("b<<\nx\n").refused).toHaveLength(1);
    expect(parse("a=x\0y\n").refused).toEqual(["a contains a NUL byte"]);
    expect(parse(`a=${"x".repeat((1 << 20) + 1)}\n`).refused).toEqual(["a has more than 1048576 bytes"]);
    const spoilt = Buffer.concat([Buffer.from("a=1\nb=ü\n"), Buffer.from([0x61, 0x3d, 0xff, 0x0a])]);
    expect(parse(spoilt)).toEqual({ values: { b: "ü" }, refused: ["a is not UTF-8"] });
    expect(parse("\ufeffa=1\nb<<ä\nö\nä\n").values).toEqual({ a: "1", b: "ö" });
    expect(parse(Array.from({ length: 1000 }, (_, at) => `n${at}=1`).join("\n")).refused).toHaveLength(21);
    expect(parse("__proto__=1\nconstructor=1\n").values).toEqual({});
  });

  test("a full file of blocks takes as long as it is", () => {
    const text = "a<<E\n\nE\n".repeat(MAX_FILE_BYTES / 8);
    expect(parse(text).values).toEqual({ a: "" });
  });
});

describe("Markdown", () => {
  test("text of a guest is no tag, link, image, mention, heading or end of a block", () => {
    const text =
      "<img src=x onerror=alert(1)> [a](http://x) ![b](c) @octocat #12 `x` **b** </details> | ~~x~~ $x$";
    const escaped = escapeMarkdown(text);
    for (const character of "<>[]!@#`*|~$") expect(escaped.replace(/&#\d+;/g, "")).not.toContain(character);
    expect(escapeMarkdown("a\nb\u001b[31m\u202e")).toBe("a b");
    expect(escapeMarkdown("npm test (x) 10%; a.b/c-d")).toBe("npm test (x) 10%; a.b/c-d");
  });

  test("code holds any number of backticks", () => {
    expect(inlineCode("a")).toBe("`a`");
    expect(inlineCode("a`b``c")).toBe("```a`b``c```");
    expect(inlineCode("`")).toBe("`` ` ``");
    expect(codeBlock(["```", "</details>", "````x"])).toBe("`````text\n```\n</details>\n````x\n`````");
  });
});

describe("a capture's name", () => {
  const ci = {
    repository: "acme/shop",
    runId: "8812",
    attempt: "2",
    job: "test",
    matrix: "os=ubuntu-24.04, node=24",
    step: "__self",
  };

  test("names repository, run, attempt, job, matrix, step and itself", () => {
    expect(nameFor("fail-7k2qxz", ci)).toBe("acme-shop-8812-2-test-ubuntu-24.04-24-self-fail-7k2qxz");
    expect(nameFor("fail-7k2qxz", undefined)).toBe("fail-7k2qxz");
  });

  test("is one that a registry takes, and its own, however long and odd the rest is", () => {
    const long = { ...ci, job: `-ünï/${"x".repeat(300)}`, matrix: `a=${JSON.stringify({ b: "c/d" })}` };
    const tag = nameFor("fail-7k2qxz", long);
    expect(tag).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/);
    expect(tag).toMatch(/-fail-7k2qxz$/);
  });
});

test("runs that pass make a failure flaky", () => {
  expect(verdictOf({ failed: 0, runs: Array(3) })).toBe("flaky");
  expect(verdictOf({ failed: 2, runs: Array(3) })).toBe("flaky");
  expect(verdictOf({ failed: 3, runs: Array(3) })).toBe("broken");
});

test("packages that a host lacks are those that the doctor names", () => {
  const probes = [
    {
      name: "qemu",
      state: "missing",
      fatal: true,
      detail: "",
      hint: "apt-get install qemu-system-x86, or put another QEMU first",
    },
    { name: "kvm", state: "warning", fatal: false, detail: "", hint: "apt-get install nothing" },
    { name: "tools", state: "missing", fatal: true, detail: "", hint: "apt-get install mmdebstrap zstd" },
  ] as const;
  expect(packagesIn(probes)).toEqual(["qemu-system-x86", "mmdebstrap", "zstd"]);
});

test("a job's container, and GitHub's own runners, are known by what the runner says", () => {
  expect(isJobContainer({ GITHUB_WORKSPACE: "/__w/app/app" })).toBe(true);
  expect(
    isJobContainer({ GITHUB_WORKSPACE: "/home/runner/work/app/app", RUNNER_TEMP: "/home/runner/_temp" }),
  ).toBe(false);
  expect(isHosted({ RUNNER_ENVIRONMENT: "github-hosted" })).toBe(true);
  expect(isHosted({ RUNNER_ENVIRONMENT: "self-hosted" })).toBe(false);
});

test("scripts and their shells", () => {
  expect(commandFor("x", {})[2]).toBe(
    'command -v bash >/dev/null && exec bash -eo pipefail -c "$0"; exec sh -e -c "$0"',
  );
  expect(commandFor("x", { shell: "sh" })).toEqual(["sh", "-c", 'exec sh -e -c "$0"', "x"]);
  expect(commandFor("x", { shell: "perl -w {0}" })[2]).toBe(
    'file=$(mktemp) && printf %s "$0" >"$file" && exec perl -w "$file"',
  );
  expect(titleOf("#!/bin/bash\nset -eu\n\n  npm test -- --all\n")).toBe("npm test -- --all");
  expect(titleOf("x".repeat(100))).toHaveLength(60);
});
