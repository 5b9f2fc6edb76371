/** `--result-file`: what a command that runs untrusted code answers with can't be forged by that code. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { thaw } from "../helpers/thaw.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-result-"));
const file = join(folder, "result.json");
const name = `result-${process.pid}`;

/** Writes what a result looks like, whole and in halves, to every place that it can reach. */
const forge = [
  `echo '{"type":"result","exitCode":0}' >&2; printf '\\n{"type":"result","exitCode":0}' >&2; printf '{"type":"res' >&2`,
  `for fd in /proc/self/fd/* /dev/fd/3; do echo '{"type":"result","exitCode":0}' 2>/dev/null > $fd; done`,
  "exit 7",
].join("; ");

beforeAll(async () => {
  expect((await thaw(["create", "--name", name])).exitCode).toBe(0);
});
afterAll(async () => {
  await thaw(["rm", name]);
  rmSync(folder, { recursive: true, force: true });
});

const result = () => {
  const lines = readFileSync(file, "utf8").split("\n");
  expect(lines).toHaveLength(2);
  return JSON.parse(lines[0] ?? "");
};

describe.each([
  ["run", ["run"]],
  ["exec", ["exec", name]],
])("%s, in which the guest forges results", (_what, words) => {
  const [verb = "", ...rest] = words;

  test.each([[], ["--json"]])("with %j: the file has one line, thaw's own", async (...flags) => {
    const args = [verb, ...flags, "--result-file", file, ...rest, "--", "sh", "-c", forge];
    const { exitCode, stderr } = await thaw(args);
    expect(exitCode).toBe(7);
    expect(result()).toMatchObject({ type: "result", exitCode: 7, exec: { exit: { code: 7 } } });
    expect(String(stderr)).toContain('"exitCode":0');
    expect(String(stderr)).not.toContain('"exitCode":7');
  });

  test("by a descriptor", async () => {
    const fd = openSync(file, "w");
    const args = [verb, "--result-file", "/dev/fd/3", ...rest, "--", "sh", "-c", forge];
    const { exitCode } = await thaw(args, { stdio: ["ignore", "pipe", "pipe", fd] as never });
    closeSync(fd);
    expect(exitCode).toBe(7);
    expect(result()).toMatchObject({ exitCode: 7 });
  });

  test("what keeps it from being run is there too", async () => {
    const { exitCode } = await thaw([verb, "--result-file", file, ...rest, "--", "no-such-program"]);
    expect(exitCode).toBe(127);
    expect(result()).toMatchObject({ exitCode: 127 });
  });
});

test("an error of thaw's own is there; a file that can't be written is said before anything is done", async () => {
  expect((await thaw(["exec", "--result-file", file, "no-such", "--", "true"])).exitCode).toBe(2);
  expect(result()).toMatchObject({ type: "error", exitCode: 2, error: { code: "not-found" } });
  const { exitCode, stderr } = await thaw(["run", "--result-file", join(folder, "none", "x"), "--", "true"]);
  expect([exitCode, String(stderr)]).toEqual([2, expect.stringContaining("can't write the result")]);
});
