/** Flags and words as docker has them. */
import { expect, test } from "vitest";
import { collectFilter, passes } from "../../cli/arguments/filter.ts";
import { formatTable } from "../../cli/format/table.ts";
import { formatTemplate } from "../../cli/format/template.ts";
import { chooseExecs, parseSignal } from "../../cli/kill/kill.ts";
import type { ExecInfo, SandboxInfo } from "../../client/index.ts";

const web = {
  ...{ id: "ab12", name: "web", state: "running", from: "node:24" },
  labels: { repo: "shop", empty: "" },
  resources: { memoryMib: 256 },
};

test.each([
  ["{{.name}} {{ .State }}", "web running"],
  ["{{.Names}}\\t{{.Status}} {{.Image}}", "web\trunning node:24"],
  ["{{.resources.memoryMib}}", "256"],
  ["{{json .labels}}", '{"repo":"shop","empty":""}'],
  ["json", JSON.stringify(web)],
  ["{{.}}", JSON.stringify(web)],
  ["plain", "plain"],
])("--format %s", (template, expected) => expect(formatTemplate(template, web)).toBe(expected));

test("a field that is not there and another function are refused; what a guest wrote is stripped", () => {
  expect(() => formatTemplate("{{.nope}}", web)).toThrow(/no field nope/);
  expect(() => formatTemplate("{{.name.constructor}}", web)).toThrow(/no field/);
  expect(() => formatTemplate("{{.__proto__}}", web)).toThrow(/no field/);
  expect(() => formatTemplate("{{range .}}", web)).toThrow(/does not know/);
  expect(formatTemplate("{{.name}}", { name: "a\x1b[31mb" })).not.toContain("\x1b");
});

test.each([
  [["name=we"], true],
  [["name=x", "name=web"], true],
  [["name=web", "state=paused"], false],
  [["status=running"], true],
  [["label=repo"], true],
  [["label=repo=shop", "label=empty="], true],
  [["label=repo=other"], false],
  [["label=toString"], false],
  [["ancestor=node"], true],
])("--filter %j: %s", (texts, expected) => {
  const filters = texts.reduce<ReturnType<typeof collectFilter>>((all, text) => collectFilter(text, all), []);
  expect(passes(web, filters)).toBe(expected);
});
test.each(["web", "=web", "name=", "volume=x", "constructor=x"])("--filter %s is refused", (text) => {
  expect(() => collectFilter(text)).toThrow(/KEY is one of/);
});

test.each([
  ["TERM", "TERM"],
  ["sigint", "INT"],
  ["9", "KILL"],
])("signal %s", (text, expected) => expect(parseSignal(text)).toBe(expected));
test.each(["", "SIG", "0", "99", "NOPE"])("%j is no signal", (text) => {
  expect(() => parseSignal(text)).toThrow(/no signal/);
});

test("kill chooses what runs, or what is named without doubt", () => {
  const exec = (id: string, state: string) => ({ id, state, argv: ["true"], startedAt: "" }) as ExecInfo;
  const of = (...execs: ExecInfo[]) => ({ name: "web", execs }) as SandboxInfo;
  const all = of(exec("a1", "running"), exec("a2", "exited"), exec("b1", "running"));
  const chosen = (...named: string[]) => chooseExecs(all, named).map(({ id }) => id);
  expect(chosen()).toEqual(["a1", "b1"]);
  expect(chosen("b")).toEqual(["b1"]);
  expect(() => chosen("a")).toThrow(/2 execs of web begin with a/);
  expect(() => chosen("a2")).toThrow(/has ended/);
  expect(() => chosen("c")).toThrow(/no exec c/);
  expect(() => chosen("")).toThrow(/no exec/);
  expect(() => chooseExecs(of(exec("a", "exited")), [])).toThrow(/no command runs/);
});

test("columns are as wide as a terminal shows what is in them", () => {
  const rows = [
    ["日本", "a"],
    ["abc", "b"],
  ];
  expect(formatTable(["N", "X"], rows)).toBe("N     X\n日本  a\nabc   b\n");
});
