/** A disk that becomes full at any step of a publication, by strace, which has the system refuse that step. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { publish } from "../../durable/publish.ts";

const PROGRAM = join(import.meta.dirname, "..", "helpers", "publish-once.ts");
/** Two files, two folders, the manifest, the draft with it, and the folders that it is renamed from and to. */
const SYNCS = 8;

let dir: string;
let draft: string;
let target: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-publish-"));
  draft = join(dir, "drafts", "one");
  target = join(dir, "published", "one");
  mkdirSync(join(draft, "inner"), { recursive: true });
  mkdirSync(join(dir, "published"));
  writeFileSync(join(draft, "a"), "a");
  writeFileSync(join(draft, "inner", "b"), "b");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const namesIn = (folder: string): string[] =>
  readdirSync(join(dir, folder), { recursive: true, encoding: "utf8" }).sort();

/** Publishes in another process. @returns `true`, or the system's error. @param calls that fail. @param path only those for this path */
async function publishWithout(
  calls: string,
  { when, path }: { when: number; path?: string },
): Promise<string> {
  const only = path === undefined ? [] : ["-P", path];
  const inject = ["-e", `trace=${calls}`, "-e", `inject=${calls}:error=ENOSPC:when=${when}`];
  const { stdout } = await execa(
    "strace",
    ["-f", "-qq", "-o", join(dir, "trace"), ...inject, ...only, process.execPath, PROGRAM, draft, target],
    // strace counts the calls of each thread.
    { env: { UV_THREADPOOL_SIZE: "1" } },
  );
  return stdout;
}

const manifest = () => join(draft, "manifest.json");
test.each([
  ...Array.from({ length: SYNCS }, (_, index) => ({
    calls: "fsync",
    when: index + 1,
    path: () => undefined,
  })),
  { calls: "rename", when: 1, path: () => undefined },
  { calls: "openat", when: 1, path: manifest },
  { calls: "write,pwrite64", when: 1, path: manifest },
])(
  "$calls number $when fails: the error says so, nothing is published, the next try works",
  async ({ calls, when, path }) => {
    const only = path();
    expect(await publishWithout(calls, { when, ...(only === undefined ? {} : { path: only }) })).toBe(
      "ENOSPC",
    );
    expect([namesIn("published"), namesIn("drafts")]).toEqual([
      [],
      ["one", "one/a", "one/inner", "one/inner/b"],
    ]);
    expect(await publish({ draft, target, manifest: { name: "manifest.json", text: "{}" } })).toBe(true);
    expect(namesIn("published")).toEqual(["one", "one/a", "one/inner", "one/inner/b", "one/manifest.json"]);
  },
);

test("these are all syncs that there are", async () => {
  expect(await publishWithout("fsync", { when: SYNCS + 1 })).toBe("true");
});
