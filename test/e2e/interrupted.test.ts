/** Ctrl-C while something is being made: exit 130, and nothing of it is left, whatever step it was at. */

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { type SandboxRow, thaw, thawBin, thawEnv, thawJson, until } from "../helpers/thaw.ts";

const scratch = mkdtempSync(join(tmpdir(), "thaw-interrupted-"));
const storeDir = join(scratch, "store");
const store = `dir:${storeDir}`;
const emptyStore = join(scratch, "empty-store");
/** Of a command that failed; it is in the store as `kept` with its base. */
let failure: string;
/** In the store as `other` only. */
const pulled = `${store}:other`;

const inHome = (folder: string): string => join(testHome(), folder);

async function must(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await thaw(args);
  expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
  return String(stdout).trim();
}

/** What commands make, in lists, on the disk and in the store. What was received of a pull stays for the next one. */
async function everything() {
  const rows = await thawJson<SandboxRow[]>(["ls"]);
  const folders = ["sandboxes", "builds", "snapshots", "captures", "tags"].map(inHome);
  return {
    sandboxes: rows.map(({ name, state }) => `${name} ${state}`).sort(),
    folders: [...folders, scratch, emptyStore].map((folder) => [folder, readdirSync(folder).sort()]),
    // Whole parts stay for the next push.
    halfSent: readdirSync(join(emptyStore, "blobs", "sha256")).filter((name) => name.startsWith(".")),
  };
}

/** Interrupts `thaw` when the n-th entry with such a name appears in a folder. */
async function interruptedWhen(args: string[], { folder, name, nth = 1 }: Moment) {
  const options = { env: thawEnv(), reject: false, timeout: 280_000 } as const;
  const client = execa(process.execPath, [thawBin, ...args], options);
  const seen = new Set<string>();
  const watcher = watch(folder, (_event, entry) => {
    if (entry !== null && name.test(entry)) seen.add(entry);
    if (seen.size < nth) return;
    watcher.close();
    client.kill("SIGINT");
  });
  const { exitCode, signal, stderr } = await client;
  watcher.close();
  return { seen: seen.size, exitCode, signal, stderr: String(stderr) };
}

interface Moment {
  folder: string;
  name: RegExp;
  nth?: number;
}

const building = (nth = 1): Moment => ({ folder: inHome("builds"), name: /^build-/, nth });
const thawing = (nth = 1): Moment => ({ folder: inHome("sandboxes"), name: /^\w/, nth });

beforeAll(async () => {
  await must("template", "build", "base");
  await must("create", "--name", "web");
  const failed = await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "exit 3"]);
  expect(failed.exitCode).toBe(3);
  failure = JSON.parse(await must("capture", "show", "latest", "--json")).id;
  const other = JSON.parse(await must("capture", "create", "web", "--json")).id;
  for (const capture of [failure, other]) await must("capture", "verify", capture);
  await must("capture", "push", failure, `${store}:kept`);
  await must("capture", "push", other, pulled);
  await must("capture", "rm", other);
  mkdirSync(join(emptyStore, "blobs", "sha256"), { recursive: true });
  copyFileSync(join(storeDir, "oci-layout"), join(emptyStore, "oci-layout"));
}, 300_000);
afterAll(async () => {
  await thaw(["rm", "--all"]);
  await thaw(["capture", "rm", failure]);
  rmSync(scratch, { recursive: true, force: true });
});

describe("Ctrl-C", () => {
  const disk = () => ["replay", failure, "--level", "disk", "--", "true"];
  test.each<[what: string, args: () => string[], moment: () => Moment]>([
    ["replay, while its memory is opened", () => ["replay", failure, "--", "true"], building],
    ["replay, while its machine starts", () => ["replay", failure, "--", "true"], thawing],
    ["replay of the disk, while that is opened", disk, building],
    ["replay of the disk, while it boots", disk, () => building(2)],
    [
      "replay from a store, while it is fetched",
      () => ["replay", pulled, "--", "true"],
      () => ({ folder: inHome("imports"), name: /^\w/ }),
    ],
    ["rerun", () => ["rerun", failure, "-n", "2"], thawing],
    ["fork", () => ["fork", "web", "-n", "3"], building],
    ["fork, when some of the children are there", () => ["fork", "web", "-n", "3"], () => thawing(2)],
    ["freeze", () => ["freeze", "web", "interrupted:1"], building],
    [
      "capture create",
      () => ["capture", "create", "web"],
      () => ({ folder: inHome("captures"), name: /^\.capture-/ }),
    ],
    ["template build", () => ["template", "build", "base", "--force"], building],
    [
      "capture push",
      () => ["capture", "push", failure, `dir:${emptyStore}:one`],
      () => ({ folder: join(emptyStore, "blobs", "sha256"), name: /^\./ }),
    ],
    [
      "capture export",
      () => ["capture", "export", failure, join(scratch, "exported.tar")],
      () => ({ folder: scratch, name: /exported/ }),
    ],
  ])("of %s", async (_what, args, moment) => {
    const before = await everything();
    const asked = moment();
    const { seen, ...ended } = await interruptedWhen(args(), asked);
    expect(seen, "it came to that step").toBe(asked.nth ?? 1);
    expect(ended, ended.stderr).toMatchObject({ exitCode: 130, signal: undefined });
    const undone = async () => JSON.stringify(await everything()) === JSON.stringify(before);
    await until(undone, "what was begun to go").catch(async () => expect(await everything()).toEqual(before));
  });

  test("what was interrupted works when it is asked for again", async () => {
    await must("replay", pulled, "--", "true");
    await must("fork", "web", "-n", "2", "--name", "copy");
    await must("freeze", "web", "interrupted:1");
    await must("snapshot", "rm", "interrupted:1");
  });
});
