/** What leaves a host for one with another QEMU: a capture made by this host's, opened on Debian 13, and the other way round. */
import { mkdirSync } from "node:fs";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeThere, pathThere, succeeds } from "./debian13.ts";
import { ThisHost } from "./this-host.ts";

interface Check {
  levels: { level: "memory" | "disk" | "files"; ok: boolean; reasons: string[] }[];
  best: string;
}

/** A failure that left a file on the disk and one in memory only. */
const FAILS = "echo of-the-disk > /root/kept; sync; echo of-memory > /dev/shm/mark; exit 3";
const FAILING = `thaw run --capture on-failure -- sh -c '${FAILS}' || [ $? = 3 ]`;

describeThere("a capture of another QEMU", () => {
  let host: ThisHost;
  const store = pathThere("/srv/store");
  let here: string;
  let builds: { here: number; there: number };
  const succeedsHere = (script: string): Promise<string> => host.succeeds(script);
  const versionOf = (text: string): number => Number(/version (\d+)/.exec(text)?.[1]);

  beforeAll(async () => {
    host = new ThisHost();
    mkdirSync(store, { recursive: true });
    here = await succeedsHere(`${FAILING}\nthaw capture ls --json`);
    builds = {
      here: versionOf((await execa("qemu-system-x86_64", ["--version"])).stdout),
      there: versionOf(await succeeds("qemu-system-x86_64 --version")),
    };
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test("here's opens there by disk and files, made whole by memory; check names the reason", async () => {
    const [{ id }] = JSON.parse(here) as [{ id: string }];
    await succeedsHere(`thaw capture push ${id} dir:${store}; thaw capture push ${id} --full dir:${store}`);
    const out = await succeeds(`
      thaw capture check dir:/srv/store:${id} --json
      thaw capture pull dir:/srv/store:${id} >&2
      echo ---; thaw capture check ${id} --json
      echo ---; thaw replay ${id} --level memory -- true 2>&1 || echo "exit $?"
      echo ---; thaw replay ${id} -- cat /root/kept
      echo ---; thaw cp ${id}:/root/kept - | tar xO
      echo ---; thaw replay dir:/srv/store:${id}full --level memory -- cat /dev/shm/mark /root/kept
      thaw rm --all >&2`);
    const [inStore, pulled, refused, booted, copied, resumed] = out.split("---\n");
    for (const text of [inStore, pulled]) {
      const { levels, best } = JSON.parse(text ?? "") as Check;
      expect(levels.map(({ ok }) => ok)).toEqual([false, true, true]);
      expect(levels[0]?.reasons).toEqual([
        expect.stringMatching(
          `difference taken by QEMU emulator version ${builds.here}\\..*only that build resumes it; this host has .*version ${builds.there}\\.`,
        ),
      ]);
      expect(best).toBe("disk");
    }
    expect(refused).toMatch(/only that build resumes it[\s\S]*exit 125/);
    expect([booted, copied]).toEqual(["of-the-disk\n", "of-the-disk\n"]);
    expect(resumed?.trim()).toBe("of-memory\nof-the-disk");
  });

  test("there's opens here by disk and files; made whole too, because this QEMU is the older; check names the reasons", async () => {
    const out = await succeeds(`${FAILING} >&2; thaw capture show latest --json
      thaw capture push latest dir:/srv/store >&2; thaw capture push latest --full dir:/srv/store >&2`);
    const { id } = JSON.parse(out) as { id: string };
    const opened = await succeedsHere(`
      thaw capture check dir:${store}:${id} --json
      echo ---; thaw capture check dir:${store}:${id}full --json
      echo ---; thaw replay dir:${store}:${id} -- cat /root/kept
      echo ---; thaw cp ${id}:/root/kept - | tar xO
      thaw rm --all >&2`);
    const [difference, whole, booted, copied] = opened.split("---\n");
    const older = expect.stringMatching(
      `made by .*version ${builds.there}\\..*, this host has the older .*version ${builds.here}\\.`,
    );
    const machine = expect.stringMatching(
      /needs machine type pc-q35-\d+\.\d, this host's newest is pc-q35-\d+\.\d/,
    );
    const bound = expect.stringMatching(/only that build resumes it/);
    for (const [text, reasons] of [
      [difference, [older, bound, machine]],
      [whole, [older, machine]],
    ] as const) {
      const { levels, best } = JSON.parse(text ?? "") as Check;
      expect(levels.map(({ ok }) => ok)).toEqual([false, true, true]);
      expect(levels[0]?.reasons).toEqual(reasons);
      expect(best).toBe("disk");
    }
    expect([booted, copied]).toEqual(["of-the-disk\n", "of-the-disk\n"]);
  });
});
