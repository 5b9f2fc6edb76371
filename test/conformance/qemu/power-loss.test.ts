/**
 * The power goes: the modules that publish state run in a guest whose page cache is lost when its machine is ended, as a host's is in a power
 * cut. What they reported is then read from the disk with the same modules. The file system commits nothing by itself for as long as the test
 * runs, so that only what was synced is there.
 */
import { createWriteStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { build } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openHome } from "../../../engine/home.ts";
import { SnapshotStore } from "../../../engine/snapshots/store.ts";
import { Quarantine } from "../../../engine/state/quarantine.ts";
import { readRecord, recordKind } from "../../../engine/state/record.ts";
import { DISK_DIR, overlayName } from "../../../runners/qemu/disk/chain.ts";
import { createQemuRunner } from "../../../runners/qemu/runner.ts";
import type { DiskEntry, DiskFiles, SnapshotFiles } from "../../../runners/runner.ts";
import { testHome } from "../../helpers/test-home.ts";
import { thaw, until } from "../../helpers/thaw.ts";
import { begin, greet } from "../guest.ts";

const dir = mkdtempSync("/tmp/tp-");
const runner = createQemuRunner({
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  sealPath: resolve("dist/agent/thaw-seal"),
  runtimeRoot: join(dir, "run"),
});
const missing = (await runner.probe()).filter(({ fatal, state }) => fatal && state === "missing");
const why = missing.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
if (missing.length > 0 && process.env.REQUIRE_QEMU === "1") throw new Error(`qemu can't run here: ${why}`);

/** Where the guest has its state folder. */
const STATE = "/state";
/** Nothing is written back but by a sync; a renamed file is not flushed for its writer; the journal commits every 300 s. */
const HARSH = `
  echo 0 > /proc/sys/vm/dirty_writeback_centisecs
  echo 90 > /proc/sys/vm/dirty_ratio
  echo 80 > /proc/sys/vm/dirty_background_ratio
  mkdir ${STATE}
  sync
  mount -o remount,noauto_da_alloc,commit=300 /`;

/** Last thing that the guest reports before the power goes. */
type Step = "published" | "tagged" | "untagged" | "recorded";
interface Report {
  step: Step;
  id?: string;
  tag?: string;
  value?: number;
}

let serial = 0;

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe.skipIf(missing.length > 0)(`power loss${why ? ` (${why})` : ""}`, () => {
  let snapshot: SnapshotFiles;
  let program: Uint8Array;

  beforeAll(async () => {
    expect((await thaw(["template", "build", "node"])).exitCode).toBe(0);
    const store = new SnapshotStore(openHome(testHome()));
    snapshot = await store.checkForThaw(await store.get("node:24"));
    const bundle = await build({
      input: "test/fixtures/power-loss/publisher.ts",
      platform: "node",
      write: false,
      output: { format: "esm" },
    });
    program = Buffer.from(bundle.output[0].code);
  });

  /**
   * Publishes in a guest until it reported `step` for the second time, ends its machine, and copies its state folder to the host.
   * @param goesOn whether the guest goes on after that report until it ends
   */
  async function cutAfter(step: Step, goesOn: boolean): Promise<{ home: string; reports: Report[] }> {
    const id = `power-${process.pid}-${++serial}`;
    const place = { id, stateDir: join(dir, id) };
    mkdirSync(place.stateDir, { mode: 0o711 });
    const machine = await runner.thaw({ ...place, snapshot });
    try {
      const agent = await greet(machine, "power");
      await agent.writeFile("/root/publisher.mjs", Readable.from([program]));
      const script = `${HARSH}\nexec node /root/publisher.mjs ${STATE} ${goesOn ? "never" : step}`;
      const running = await begin(agent, { script });
      const lines = (): Report[] =>
        running
          .text()
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line) as Report);
      const enough = () => lines().filter((report) => report.step === step).length >= 2;
      await Promise.race([
        until(enough, `two reports of ${step}`),
        running.exit.then(({ code }) => {
          throw new Error(`the publisher ended with ${code}: ${running.text()}`);
        }),
      ]);
      await machine.stop();
      agent.close();
      const disks = [
        ...["disk.qcow2", ...(snapshot.layers ?? [])].map((name) => join(snapshot.dir, name)),
        join(place.stateDir, DISK_DIR, overlayName(0)),
      ];
      const opened = join(place.stateDir, "opened");
      mkdirSync(opened);
      const { signal } = new AbortController();
      const disk = await runner.openDisk(disks, opened, snapshot.resources.diskMib, {
        room: async () => {},
        signal,
      });
      const home = join(place.stateDir, "home");
      await copyOut(disk, STATE, home);
      return { home, reports: lines() };
    } finally {
      await machine.stop();
    }
  }

  /** Everything that was reported is there and whole, and nothing that can be seen is half. */
  async function check({ home, reports }: { home: string; reports: Report[] }): Promise<void> {
    const quarantine = new Quarantine(home);
    const store = new SnapshotStore(openHome(home), quarantine);
    await store.recover();
    const listed = await store.list();
    const tags = await store.tags();
    expect(await quarantine.list()).toEqual([]);
    const ids = listed.map(({ id }) => id);
    for (const { id } of reports) if (id !== undefined) expect(ids).toContain(id);
    for (const one of listed) {
      const verdicts = await store.verify(one);
      expect(verdicts.filter(({ ok }) => !ok)).toEqual([]);
    }
    for (const id of tags.values()) expect(ids).toContain(id);
  }

  test.each<Step>(["published", "tagged", "untagged", "recorded"])(
    "what was reported last (%s) is there, and whole",
    async (step) => {
      const cut = await cutAfter(step, false);
      await check(cut);
      const { home, reports } = cut;
      const store = new SnapshotStore(openHome(home));
      const tags = await store.tags();
      for (const [index, report] of reports.entries()) {
        const later = reports.slice(index + 1).filter(({ tag }) => tag === report.tag);
        if (report.tag === undefined || later.length > 0) continue;
        expect([report.tag, tags.get(report.tag)]).toEqual([
          report.tag,
          report.step === "untagged" ? undefined : report.id,
        ]);
      }
      const recorded = reports.findLast((report) => report.step === "recorded");
      if (recorded) {
        const kind = recordKind("record", z.strictObject({ value: z.number() }));
        expect(await readRecord(join(home, "record.json"), kind)).toMatchObject({
          state: "ok",
          value: { value: recorded.value },
        });
      }
    },
  );

  test("cut anywhere: what was reported is there, and nothing half is seen", async () => {
    await check(await cutAfter("published", true));
  });
});

/** Copies a folder of a disk to the host. */
async function copyOut(disk: DiskFiles, path: string, target: string): Promise<void> {
  const { signal } = new AbortController();
  let [inode, parent] = [disk.root, disk.root];
  for (const name of path.split("/").filter(Boolean)) {
    const found = (await disk.list(inode, parent, signal)).find((entry) => entry.name === name);
    if (!found) throw new Error(`there is no ${path} on the disk`);
    [parent, inode] = [inode, found.inode];
  }
  const copy = async (from: Pick<DiskEntry, "inode">, above: number, to: string): Promise<void> => {
    mkdirSync(to);
    for (const entry of await disk.list(from.inode, above, signal)) {
      if (entry.type === "dir") await copy(entry, from.inode, join(to, entry.name));
      else await pipeline(disk.read(entry.inode, signal), createWriteStream(join(to, entry.name)));
    }
  };
  await copy({ inode }, parent, target);
}
