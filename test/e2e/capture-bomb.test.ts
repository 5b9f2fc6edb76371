/** Captures that are small and open to more than the host has room for: refused or stopped, and the host goes on. As root. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Rewriting, rewrite } from "../helpers/rewrite-archive.ts";
import { type SmallHome, smallHome } from "../helpers/small-home.ts";
import { tarOf, untar } from "../helpers/tar.ts";
import { thaw } from "../helpers/thaw.ts";

/** What the host keeps free. */
const RESERVE_MIB = 256;
const folder = mkdtempSync("/tmp/thaw-bomb-");

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  await thaw(["daemon", "stop"]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.runIf(process.getuid?.() === 0)("a capture that opens to more than there is room for", () => {
  test.each<[NonNullable<Rewriting["layer"]>, string, string[]]>([
    ["filled", "cp", ["/etc/hostname", "-"]],
    ["one-cluster", "replay", ["--level", "files", "/etc/hostname"]],
    ["one-cluster", "replay", ["--level", "disk", "--", "true"]],
  ])(
    "%s, by %s: no-space before the reserve is touched, nothing is left, the daemon serves",
    async (layer, verb, more) => {
      await using home = await smallHome(RESERVE_MIB + 250);
      const id = await bomb(home, layer);
      const before = home.freeMib();
      let least = before;
      const watching = setInterval(() => {
        least = Math.min(least, home.freeMib());
      }, 10);
      const [path = "", ...rest] = more;
      const target = verb === "cp" ? [`${id}:${path}`, ...rest] : [id, ...more];
      const said = await home.thaw(verb, ...target);
      clearInterval(watching);
      expect(said.exitCode).toBe(125);
      expect(String(said.stderr)).toMatch(/\d+ MB free under .*, \d+ MB needed/);
      expect(least).toBeGreaterThanOrEqual(RESERVE_MIB);
      expect(home.freeMib()).toBeGreaterThanOrEqual(before - 2);
      expect(readdirSync(join(home.path, "builds"))).toEqual([]);
      expect((await home.thaw("run", "--", "true")).exitCode).toBe(0);
    },
  );
});

/** Imports a capture whose one layer is changed, under a name of its own. @returns its id */
async function bomb(home: SmallHome, layer: NonNullable<Rewriting["layer"]>): Promise<string> {
  expect((await home.thaw("create", "--name", "one")).exitCode).toBe(0);
  const id = String((await home.thaw("capture", "create", "one")).stdout).trim();
  const file = join(folder, `${id}.thaw`);
  const exported = await home.thaw("capture", "export", id, file);
  expect(exported.exitCode, String(exported.stderr)).toBe(0);
  expect((await home.thaw("rm", "one")).exitCode).toBe(0);
  expect((await home.thaw("capture", "rm", id)).exitCode).toBe(0);
  writeFileSync(file, tarOf(rewrite(await untar(file), "capture", { layer })));
  const imported = await home.thaw("capture", "import", file);
  expect(imported.exitCode, String(imported.stderr)).toBe(0);
  return id;
}
