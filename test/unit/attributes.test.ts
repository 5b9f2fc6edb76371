/** Extended attributes of real files, looked at by the real programs: named, with no value copied. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { LostAttributes } from "../../client/tree/attributes.ts";
import { AttributeFinder } from "../../client/tree/find-attributes.ts";
import type { PackEntry } from "../../client/tree/pack.ts";
import { SourceFolder } from "../../client/tree/source-folder.ts";
import { unpackTree } from "../../client/tree/unpack.ts";
import { walkFolder } from "../../client/tree/walk.ts";
import { findMissingAttributes, setAttribute } from "../helpers/attributes.ts";
import { type GuestTrees, removeTree, startGuestTrees } from "../helpers/guest-trees.ts";

const program = "runners/native/target/x86_64-unknown-linux-gnu/release/thaw-xattrs";
const missing = findMissingAttributes(tmpdir());
let base = "";
let guest: GuestTrees;

beforeAll(async () => {
  guest = await startGuestTrees();
});
afterAll(() => guest.close());
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), "thaw-attributes-")));
});
afterEach(() => removeTree(base));

async function findNotes(
  entries: Iterable<PackEntry>,
  path = join(process.cwd(), program),
): Promise<string[]> {
  using finder = new AttributeFinder({ program: path });
  for (const entry of entries) finder.add(entry);
  return await finder.finish();
}

test("the host's files: named, and what a link leads to is not theirs", async (context) => {
  if (missing !== undefined) return context.skip(missing);
  mkdirSync(join(base, "from/sub"), { recursive: true });
  writeFileSync(join(base, "from/plain"), "");
  writeFileSync(join(base, "from/sub/odd\x1b[31m\nname"), "");
  writeFileSync(join(base, "elsewhere"), "");
  symlinkSync("../elsewhere", join(base, "from/link"));
  setAttribute(join(base, "from/sub"), "user.folder");
  setAttribute(join(base, "from/sub/odd\x1b[31m\nname"), "user.a");
  setAttribute(join(base, "from/sub/odd\x1b[31m\nname"), "user.b\x1b[0m");
  setAttribute(join(base, "elsewhere"), "user.not-theirs");
  const notes = await findNotes(walkFolder(new SourceFolder(join(base, "from"))));
  expect(notes).toEqual([
    `extended attributes are not copied: ${base}/from/sub (user.folder), ${base}/from/sub/odd\\u001b[31m\\nname (user.a, user.b\\u001b[0m)`,
  ]);
});

test("ten thousand files take one process and little time; the first five are shown", async (context) => {
  if (missing !== undefined) return context.skip(missing);
  for (let n = 0; n < 10_000; n++) writeFileSync(join(base, `f${String(n).padStart(5, "0")}`), "");
  for (let n = 0; n < 8; n++) setAttribute(join(base, `f0000${n}`), "user.x");
  const entries = [...walkFolder(new SourceFolder(base))];
  const since = performance.now();
  const [note, ...others] = await findNotes(entries);
  const took = performance.now() - since;
  const shown = [0, 1, 2, 3, 4].map((n) => `${base}/f0000${n} (user.x)`).join(", ");
  expect(note).toBe(`extended attributes are not copied: ${shown} and 3 more`);
  expect(others).toEqual([]);
  // A process for each takes longer.
  expect(took).toBeLessThan(20_000);
});

test("without the program, or when it fails, that is said", async () => {
  writeFileSync(join(base, "file"), "");
  const entries = [...walkFolder(new SourceFolder(base))];
  expect(await findNotes(entries, "/nowhere/thaw-xattrs")).toEqual([
    "extended attributes were not looked at: /nowhere/thaw-xattrs: ENOENT",
  ]);
  expect(await findNotes(entries, "/bin/false")).toEqual([
    "extended attributes were not looked at: /bin/false ended with 1",
  ]);
});

test("the program takes no path without an end, and none that is too long", () => {
  for (const input of ["file", `${"a".repeat(5_000)}\0`])
    expect(() => execFileSync(program, { input, stdio: "pipe" })).toThrow(
      /a path is too long, or has no NUL/,
    );
});

test("the guest's files: the agent names them, in a tree and of a single file", async (context) => {
  if (missing !== undefined) return context.skip(missing);
  const inside = join(base, "inside");
  mkdirSync(join(inside, "sub"), { recursive: true });
  for (const path of ["sub/file", "plain"]) writeFileSync(join(inside, path), "x");
  setAttribute(join(inside, "sub"), "user.folder");
  for (const name of ["user.a", "user.b"]) setAttribute(join(inside, "sub/file"), name);
  const told: unknown[] = [];
  const onAttributes = (path: Buffer, names: string[]): number => told.push([path.toString(), names.sort()]);
  const { entries } = await unpackTree(await guest.read(inside), join(base, "out"), { onAttributes });
  expect(told).toEqual([
    ["sub", ["user.folder"]],
    ["sub/file", ["user.a", "user.b"]],
  ]);
  expect(entries).toBe(3);
  expect((await guest.stat(join(inside, "sub/file"))).attributes?.sort()).toEqual(["user.a", "user.b"]);
  expect((await guest.stat(join(inside, "plain"))).attributes).toEqual([]);
  // a client that does not ask gets a stream that older ones can read
  const stream = await guest.read(inside, false);
  const count = await unpackTree(stream, join(base, "older"), {
    onAttributes: () => expect.unreachable(),
  });
  expect(count.entries).toBe(3);
});

test("what goes in has no attributes there, so none are lost twice", async (context) => {
  if (missing !== undefined) return context.skip(missing);
  mkdirSync(join(base, "from"));
  writeFileSync(join(base, "from/file"), "x");
  setAttribute(join(base, "from/file"), "user.x");
  await guest.send(walkFolder(new SourceFolder(join(base, "from"))), join(base, "inside"));
  expect((await guest.stat(join(base, "inside/file"))).attributes).toEqual([]);
});

test("labels that the system gives are not named", () => {
  const lost = new LostAttributes();
  lost.add(Buffer.from("a"), [
    "security.selinux",
    "system.nfs4_acl",
    "trusted.overlay.opaque",
    "security.ima",
  ]);
  expect(lost.describe()).toBeUndefined();
  lost.add(Buffer.from("b"), [
    "security.selinux",
    "security.capability",
    "system.posix_acl_access",
    "user.c",
    "user.d",
  ]);
  expect(lost.describe()).toBe(
    "extended attributes are not copied: b (security.capability, system.posix_acl_access, user.c and 1 more)",
  );
});
