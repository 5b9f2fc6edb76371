/** What leaves a host for one with another QEMU: a capture made by this host's, opened on Debian 13, and the other way round. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeThere, pathThere, succeeds } from "./debian13.ts";

interface Check {
  levels: { level: "memory" | "disk" | "files"; ok: boolean; reasons: string[] }[];
  best: string;
}

/** A failure that left a file on the disk and one in memory only. */
const FAILS = "echo of-the-disk > /root/kept; sync; echo of-memory > /dev/shm/mark; exit 3";
const FAILING = `thaw run --capture on-failure -- sh -c '${FAILS}' || [ $? = 3 ]`;
const STATE_THERE = "/root/.local/state/thaw";

describeThere("a capture of another QEMU", () => {
  const home = mkdtempSync("/tmp/thaw-builds-");
  const store = pathThere("/srv/store");
  let here: string;
  let builds: { here: number; there: number };

  /** stdout of a script on this host that must succeed. */
  const succeedsHere = async (script: string): Promise<string> => {
    const thaw = 'set -e -o pipefail; thaw() { node dist/thaw.mjs "$@"; }\n';
    const { stdout } = await execa("bash", ["-uc", thaw + script], {
      env: { THAW_HOME: home, NO_COLOR: "1" },
      timeout: 280_000,
    });
    return stdout;
  };
  const versionOf = (text: string): number => Number(/version (\d+)/.exec(text)?.[1]);

  beforeAll(async () => {
    for (const part of ["kernels", "rootfs"])
      cpSync(join(pathThere(STATE_THERE), part), join(home, part), { recursive: true });
    mkdirSync(store);
    here = await succeedsHere(`${FAILING}\nthaw capture ls --json`);
    builds = {
      here: versionOf((await execa("qemu-system-x86_64", ["--version"])).stdout),
      there: versionOf(await succeeds("qemu-system-x86_64 --version")),
    };
  });
  afterAll(async () => {
    await succeedsHere("thaw rm --all; thaw daemon stop");
    rmSync(home, { recursive: true, force: true });
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
      echo ---; thaw cp ${id}:/root/kept -
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
});
