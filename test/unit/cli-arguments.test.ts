import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseCpus } from "../../cli/arguments/count.ts";
import { parseDuration } from "../../cli/arguments/duration.ts";
import { collectEnv } from "../../cli/arguments/env.ts";
import { parseForward } from "../../cli/arguments/forward.ts";
import { parseMemory } from "../../cli/arguments/memory.ts";
import { parseSandboxName } from "../../cli/arguments/sandbox-name.ts";
import { readSource } from "../../cli/arguments/source.ts";
import { parseTag } from "../../cli/arguments/tag.ts";
import { parseUser } from "../../cli/arguments/user.ts";
import { planRun, requestRun } from "../../cli/run/plan.ts";

test.each([
  ["500ms", 500],
  ["2s", 2000],
  ["10m", 600_000],
  ["1h", 3_600_000],
  ["1h30m", 5_400_000],
  ["1.5s", 1500],
])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBe(ms));
test.each(["", "2", "s", "2 s", "-1s", "1x", "0s", "0.1ms", "400d", "1s2", "1e3s"])(
  "%j is no duration",
  (text) => {
    expect(() => parseDuration(text)).toThrow();
  },
);

test.each([
  ["8080:80", { port: 8080, guest: 80 }],
  ["0:80", { port: 0, guest: 80 }],
  ["[::1]:8080:80", { address: "::1", port: 8080, guest: 80 }],
  ["/tmp/web.sock:80", { path: "/tmp/web.sock", guest: 80 }],
  ["8080:/run/app.sock", { port: 8080, guest: "/run/app.sock" }],
  ["10.0.0.1:8080:/run/app.sock", { address: "10.0.0.1", port: 8080, guest: "/run/app.sock" }],
  ["/tmp/web.sock:/run/app.sock", { path: "/tmp/web.sock", guest: "/run/app.sock" }],
])("%s is a forward", (text, forward) => expect(parseForward(text)).toEqual(forward));
test.each([
  ...[
    "80",
    "8080:80:1",
    "1.2.3:8080:80",
    "8080:0",
    "8080:70000",
    "70000:80",
    "web.sock:80",
    "./web.sock:80",
    "8080:app.sock",
  ],
  ...["127.0.0.1:/tmp/web.sock:80", "/tmp/../web.sock:80", "/tmp//web.sock:80", "/tmp/web/:80", "/a:b:80"],
  ...["/tmp/a\nb:80", `/tmp/${"x".repeat(103)}:80`, "/:80", "8080:/"],
])("%j is no forward", (text) => expect(() => parseForward(text)).toThrow());
test("a lone port is named, with the forwards that it may mean", () =>
  expect(() => parseForward("80")).toThrow("80 is not [ADDRESS:]HOST:GUEST. Write 80:80, or 0:80"));

test.each([
  ["512M", 512],
  ["2G", 2048],
  ["512MiB", 512],
  ["1.5g", 1536],
  ["131072K", 128],
  ["1T", 1_048_576],
])("%s is %d MiB", (text, mib) => expect(parseMemory(text)).toBe(mib));
test.each(["", "512", "63M", "2T", "1X", "-1G", "0.3M", "100000K"])("%j is no memory", (text) => {
  expect(() => parseMemory(text)).toThrow();
});

test("cpus, users and tags", () => {
  expect(parseCpus("4")).toBe(4);
  for (const text of ["0", "65", "1.5", "x", ""]) expect(() => parseCpus(text)).toThrow();
  for (const text of ["root", "1000", "node:node", "1000:100", "_apt"]) expect(parseUser(text)).toBe(text);
  for (const text of ["", ":", "a b", "a:b:c", "-x"]) expect(() => parseUser(text)).toThrow();
  for (const text of ["node:24", "mine", "a.b-c:1"]) expect(parseTag(text)).toBe(text);
  for (const text of ["", "Node", "a/b", "a:", "../x"]) expect(() => parseTag(text)).toThrow();
});

test("variables are set, passed on, or left out", () => {
  process.env.THAW_TEST_VARIABLE = "mine";
  const first = collectEnv("A=b=c");
  expect(collectEnv("THAW_TEST_VARIABLE", first)).toEqual({ A: "b=c", THAW_TEST_VARIABLE: "mine" });
  expect(collectEnv("THAW_NO_SUCH_VARIABLE", first)).toEqual(first);
  expect(collectEnv("EMPTY=")).toEqual({ EMPTY: "" });
  expect(() => collectEnv("=x")).toThrow();
});

test("a template is a name, a file or a folder", async () => {
  const base = mkdtempSync(join(tmpdir(), "thaw-source-"));
  mkdirSync(join(base, "mine"));
  writeFileSync(join(base, "mine/template.yaml"), "name: mine\n");
  expect(await readSource({ template: "node" })).toEqual({ template: "node" });
  expect(await readSource({ template: join(base, "mine") })).toEqual({ recipe: "name: mine\n" });
  expect(await readSource({ template: join(base, "mine/template.yaml") })).toEqual({
    recipe: "name: mine\n",
  });
  expect(await readSource({ snapshot: "node:24" })).toEqual({ snapshot: "node:24" });
  expect(await readSource({})).toEqual({});
  await expect(readSource({ template: "./nowhere" })).rejects.toThrow(/nowhere/);
  rmSync(base, { recursive: true });
});

test("a run's request says what the flags say", async () => {
  const flags = {
    template: "node",
    workspace: ".",
    env: { A: "b" },
    timeout: 2000,
    cpus: 2,
    memory: 512,
    interactive: true,
  };
  const request = requestRun(await planRun({ command: ["npm", "test"] }, flags), flags);
  expect(request).toEqual({
    create: { source: { template: "node" }, cpus: 2, memoryMib: 512 },
    exec: { argv: ["npm", "test"], stdin: true, env: { A: "b" }, timeoutMs: 2000, cwd: "/workspace" },
    hold: true,
    keep: false,
  });
  const plan = await planRun({ command: ["x"] }, { workspace: ".", workdir: "/y" });
  expect(requestRun(plan, {}).exec.cwd).toBe("/y");
});

test("a sandbox has no name that names a capture", () => {
  for (const text of ["web", "fail", "fail-1", "fail-ab-cdef", "latest-2", "capture"])
    expect(parseSandboxName(text)).toBe(text);
  for (const text of ["latest", "fail-7k3x", "capture-abcd1234", "Web", "-x", ""])
    expect(() => parseSandboxName(text)).toThrow();
});
