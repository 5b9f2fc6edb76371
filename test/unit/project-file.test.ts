/** thaw.yaml as text: what it may say, and every mistake. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { ThawError } from "../../client/errors.ts";
import { projectJsonSchema } from "../../client/project/json-schema.ts";
import { parseProject } from "../../client/project/parse.ts";
import type { CheckPath } from "../../client/project/schema.ts";

const anyPath: CheckPath = () => undefined;

function parse(text: string, checkPath = anyPath) {
  return parseProject(text, { file: "t.yaml", checkPath });
}

function fail(text: string, checkPath = anyPath): ThawError {
  try {
    parse(text, checkPath);
  } catch (error) {
    return error as ThawError;
  }
  throw new Error("it was accepted");
}

/** A run with one line, at 4:5. */
function runWith(line: string): string {
  return `version: 1\nruns:\n  a:\n    ${line}\n`;
}

test("everything there is", () => {
  const { content, warnings } = parse(`
version: 1
templates: { app: ./ci/app/template.yaml }
defaults: { cpus: 1, keep: true }
runs:
  test:unit:
    description: all of them
    template: app
    command: |
      npm ci
      npm test
    workspace: .
    ignore: false
    env: { CI: "1" }
    pass: [TOKEN]
    workdir: /workspace/x
    user: node:node
    cpus: 2
    memory: 1GiB
    timeout: 1h30m
    network: none
    capture: [exit, oom]
    name: tests
    ttl: never
    idle: 10m
    stopAfter: 1h
    removeAfter: 1d
    wait: 30s
    labels: { team: red }
  list: { snapshot: "node:24", command: [npm, test], workspace: false, capture: on-failure }
  nothing: {}
`);
  expect(warnings).toEqual([]);
  expect(content.defaults).toEqual({ cpus: 1, keep: true });
  expect(content.runs["test:unit"]).toMatchObject({
    command: "npm ci\nnpm test\n",
    memory: 1024,
    timeout: 5_400_000,
    ttl: null,
    idle: 600_000,
    capture: ["exit", "oom"],
  });
  expect(content.runs.list).toEqual({
    snapshot: "node:24",
    command: ["npm", "test"],
    workspace: false,
    capture: "on-failure",
  });
});

test("the example of docs/PROJECT.md is sound", () => {
  const [, example = ""] = /```yaml\n(.*?)```/s.exec(readFileSync("docs/PROJECT.md", "utf8")) ?? [];
  expect(Object.keys(parse(example).content.runs)).toEqual(["test", "lint", "dev"]);
});

test("every mistake at once, in the order of the file", () => {
  const { code, exitCode, message, details } = fail(
    `
version: 2
templtes: {}
templates: { App: x, ok: ../y }
defaults:
  memory: &m lots
  name: x
runs:
  a:
    template: x
    snapshot: y
    cpu: 1
    memory: *m
    cpus: 100.5
  b:
  " c": { command: x, stopafter: 3s }
`,
    (path) => (path === "../y" ? "a path inside the repository" : undefined),
  );
  expect({ code, exitCode, message }).toEqual({
    code: "usage",
    exitCode: 2,
    message: "t.yaml has 13 mistakes",
  });
  const size = "a size such as 512M or 2GiB, whole MiB between 64M and 1T";
  expect(details).toEqual(
    [
      "t.yaml:2:10: version: 2 is not 1, the version of the format",
      expect.stringMatching(
        /^t.yaml:3:1: templtes: there is no such key; did you mean templates\? \(the keys are version, /,
      ),
      't.yaml:4:14: templates.App: "App" is not a template\'s name: lower-case letters, digits and inner dashes',
      't.yaml:4:26: templates.ok: "../y" is not a path inside the repository',
      `t.yaml:6:14: defaults.memory: "lots" is not ${size}`,
      expect.stringMatching(/^t.yaml:7:3: defaults.name: there is no such key; /),
      't.yaml:11:15: runs.a.snapshot: "y" is not allowed beside template: give one',
      expect.stringMatching(/^t.yaml:12:5: runs.a.cpu: there is no such key; did you mean cpus\? /),
      `t.yaml:13:13: runs.a.memory: "lots" is not ${size}`,
      "t.yaml:14:11: runs.a.cpus: 100.5 is not a whole number from 1 to 64",
      "t.yaml:15:5: runs.b: nothing is not a map of settings",
      't.yaml:16:3: runs. c: " c" is not a run\'s name: letters, digits, . _ : and -, 64 at most',
    ].concat([
      expect.stringMatching(
        /^t.yaml:16:23: runs. c.stopafter: there is no such key; did you mean stopAfter\?/,
      ),
    ]),
  );
});

test.each([
  ["template: 3", "template: 3 is not a template's name, or a path"],
  ["snapshot: a/b", 'snapshot: "a/b" is not a snapshot\'s tag or id'],
  ["workspace: true", "workspace: true is not a folder, as a path from the project file; false for none"],
  ["ignore: maybe", 'ignore: "maybe" is not true or false'],
  ["env: [A]", "env: a list is not a map of names and values"],
  ["env: { CI: 1 }", "env.CI: 1 is not a string; quote numbers"],
  ["env: { a-b: x }", 'env.a-b: "a-b" is not a variable\'s name'],
  ["pass: A", 'pass: "A" is not a list of variables\' names'],
  ["pass: [A=1]", 'pass.0: "A=1" is not a variable\'s name'],
  ["workdir: 1", "workdir: 1 is not a folder of the sandbox"],
  ["user: a b", 'user: "a b" is not a user: NAME'],
  ["cpus: 0", "cpus: 0 is not a whole number from 1 to 64"],
  ["cpus: two", 'cpus: "two" is not a whole number'],
  ["memory: 512", "memory: 512 is not a size such as 512M"],
  ["memory: 1M", 'memory: "1M" is not a size such as 512M or 2GiB, whole MiB between 64M and 1T'],
  ["timeout: 10", "timeout: 10 is not a duration such as"],
  [
    "timeout: 400d",
    'timeout: "400d" is not a duration such as 500ms, 10m, 1h or 1h30m, between 1ms and 365d',
  ],
  ["timeout: never", 'timeout: "never" is not a duration'],
  [
    "ttl: soon",
    'ttl: "soon" is not a duration such as 500ms, 10m, 1h or 1h30m, between 1ms and 365d, or never',
  ],
  ["network: [npm]", "network: a list is not none, open, audit, or a map with mode, allow and deny"],
  ['network: { allow: ["a.example:0"] }', 'network.allow.0: "a.example:0": a port is a number'],
  ["network: { allows: [] }", "network.allows: there is no such key"],
  ["network: npm", 'network: "npm" is not none, open, audit'],
  ["capture: often", 'capture: "often" is not on-failure, always, never, or a list of exit, signal,'],
  ["capture: []", "capture: an empty list is not on-failure"],
  ["capture: [exit, crash]", 'capture.1: "crash" is not one of exit, signal, timeout, oom, panic, cancel'],
  ["command: 3", "command: 3 is not a command: text for `sh -e -c`, or a list"],
  ["command: ' '", 'command: " " is not a command'],
  ["command: []", "command: an empty list is not a command"],
  ["command: [sleep, 3]", "command.1: 3 is not a string; quote numbers"],
  ["name: A", 'name: "A" is not a sandbox\'s name'],
  ["labels: { a: 1 }", "labels.a: 1 is not a string of 1024 characters at most"],
  ['description: "a\\nb"', 'description: "a\\nb" is not a line of text'],
  ["keep: 1", "keep: 1 is not true or false"],
  ["<<: { a: b }", "<<: there is no such key"],
])("%s", (line, mistake) => {
  const { details } = fail(runWith(line));
  expect(details).toHaveLength(1);
  expect(details[0]).toMatch(/^t\.yaml:4:\d+: runs\.a\./);
  expect(details[0]?.replace(/^\S+ runs\.a\./, "").slice(0, mistake.length)).toBe(mistake);
});

test("what is no project file at all", () => {
  expect(fail("").details).toEqual(["t.yaml:1:1: version: missing: 1, the version of the format"]);
  expect(fail("- a").details[0]).toContain("t.yaml:1:1: a list is not a map with the keys version,");
  expect(fail("a: [").details[0]).toMatch(/^t\.yaml:1:\d+: /);
  expect(fail("version: 1\nversion: 1").details[0]).toMatch(/^t\.yaml:2:1: .*unique/);
  expect(fail("version: !secret 1").details[0]).toMatch(/^t\.yaml:1:10: .*!secret/);
  expect(fail("version: 1\n---\nversion: 1").details).not.toEqual([]);
});

test("bombs end quickly: aliases, depth, keys, mistakes", () => {
  const nine = (name: string) => `[${`*${name},`.repeat(9)}]`;
  const aliases = `a: &a [${"x,".repeat(9)}]\nb: &b ${nine("a")}\nc: &c ${nine("b")}\nd: &d ${nine("c")}\ne: ${nine("d")}\n`;
  expect(fail(aliases).details[0]).toMatch(/alias/);
  for (const deep of ["[".repeat(60_000), "- ".repeat(30_000), "{a: ".repeat(15_000)])
    expect(fail(deep).details.length).toBeLessThanOrEqual(51);
  const keys = Array.from({ length: 5000 }, (_, index) => `k${index}:`).join("\n");
  expect(fail(keys).details).toHaveLength(51);
  const runs = Array.from({ length: 201 }, (_, index) => `  r${index}: {}`).join("\n");
  expect(fail(`version: 1\nruns:\n${runs}\n`).details[0]).toContain("200 runs at most");
  expect(fail(`version: 1\n${"k".repeat(50_000)}: 1`).details[0]?.length).toBeLessThan(300);
}, 240_000);

test("names of JavaScript's own are names like any other", () => {
  expect(fail("version: 1\n__proto__: { x: y }").details[0]).toContain("__proto__: there is no such key");
  expect(parse("version: 1\nruns: { constructor: { command: x } }").content.runs.constructor).toEqual({
    command: "x",
  });
});

test("tokens are warned of, and never shown", () => {
  const token = `ghp_${"a1".repeat(18)}`;
  const { warnings } = parse(runWith(`env: { A: ${token}, B: fine }`));
  expect(warnings).toEqual([
    expect.stringMatching(/^t\.yaml:4:15: runs\.a\.env\.A: looks like a GitHub token: /),
  ]);
  expect(JSON.stringify(fail(runWith(`memory: ${token}`)).details)).not.toContain(token);
});

test("the JSON Schema in docs/ is the schema's: thaw project schema > docs/thaw.schema.json", async () => {
  expect(JSON.parse(readFileSync("docs/thaw.schema.json", "utf8"))).toEqual(await projectJsonSchema());
});
