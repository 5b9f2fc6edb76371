import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { capabilities } from "../helpers/capabilities.ts";
import { tagOf } from "../helpers/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, type SandboxRow, thaw, thawJson, until } from "../helpers/thaw.ts";

interface Frozen {
  snapshot: { id: string; tags: string[]; usedBy: string[]; parts: { name: string }[] };
  pauseMs: number;
  converged: boolean;
}
interface Forked {
  sandboxes: (SandboxRow & { createdAt: string; expiresAt: string | null })[];
  method: string;
  pauseMs: number;
}

const { ownDisk } = capabilities;

const run = async (...args: string[]) => {
  const { stdout, stderr, exitCode } = await thaw(args);
  expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
  return String(stdout);
};
const inside = (sandbox: string, script: string) => run("exec", sandbox, "--", "sh", "-c", script);
const START =
  "nohup sleep 999 >/dev/null 2>&1 & echo state > /tmp/s; (i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.1; done) >/dev/null 2>&1 </dev/null &";

const stateOf = async (name: string) =>
  (await thawJson<SandboxRow[]>(["ls"])).find((row) => row.name === name)?.state;

/** Has the daemon's helper that copies memory fail when it is told to begin: the disk is cut at that time. */
function breakHelper() {
  const versions = join(testHome(), "versions");
  const helpers = readdirSync(versions)
    .map((version) => join(versions, version, "agent", "thaw-pages"))
    .filter((path) => existsSync(path));
  for (const path of helpers) {
    renameSync(path, `${path}.real`);
    const script = `#!/bin/sh
read -r how < "$0.fault"
[ "$how" = nothing ] && exec "$0.real" "$@"
echo ready; read -r go
[ "$how" = hang ] && { echo > "$0.hanging"; read -r end; }
exit 9
`;
    writeFileSync(path, script, { mode: 0o755 });
  }
  return {
    fail: (how: "hang" | "end" | "nothing") => {
      for (const path of helpers) writeFileSync(`${path}.fault`, `${how}\n`);
    },
    isHanging: () => helpers.some((path) => existsSync(`${path}.hanging`)),
    [Symbol.dispose]: () => {
      for (const path of helpers) {
        renameSync(`${path}.real`, path);
        for (const left of ["fault", "hanging"]) rmSync(`${path}.${left}`, { force: true });
      }
    },
  };
}

beforeAll(async () => {
  await run("template", "build", "base");
});
afterEach(async () => {
  await run("rm", "--all");
  for (const tag of ["mine:1", "mine:2"]) await thaw(["snapshot", "rm", tag]);
});

describe("thaw freeze", () => {
  test("the snapshot has the file and the processes; a thaw of it is somebody else; the source goes on", async () => {
    await run("create", "--name", "web");
    await inside("web", START);
    const { snapshot, pauseMs } = await thawJson<Frozen>(["freeze", "web", "mine:1"]);
    process.stdout.write(`freeze: paused ${pauseMs.toFixed(1)} ms\n`);
    expect(snapshot.tags).toEqual(["mine:1"]);
    expect(snapshot.parts.map(({ name }) => name)).toEqual([
      "memory",
      "devices",
      "disk.qcow2",
      ...(ownDisk ? ["layer-1.qcow2"] : []),
    ]);
    await inside("web", "echo later > /tmp/s");
    const text = await run(
      "run",
      "--snapshot",
      "mine:1",
      "--",
      "sh",
      "-c",
      "cat /tmp/s; pgrep -a sleep; cat /etc/machine-id",
    );
    expect(text).toMatch(/^state\n(\d+ sleep .*\n)*\d+ sleep 999\n/);
    expect(text.trimEnd().split("\n").at(-1)).not.toBe((await inside("web", "cat /etc/machine-id")).trim());
    expect(await inside("web", "cat /tmp/s")).toBe("later\n");
    expect(await run("snapshot", "verify", "mine:1")).toMatch(ownDisk ? /layer-1/ : /disk/);
  });

  test("what is needed can't be removed; other resources are refused; a wrong tag or sandbox is a usage error", async () => {
    await run("create", "--name", "web");
    await run("freeze", "web", "mine:1");
    await run("create", "--snapshot", "mine:1", "--name", "user");
    const refused = await thaw(["snapshot", "rm", "mine:1"]);
    expect([refused.exitCode, String(refused.stderr)]).toEqual([
      125,
      expect.stringMatching(/in use by user/),
    ]);
    const larger = await thaw(["run", "--snapshot", "mine:1", "--memory", "384M", "--", "true"]);
    expect(String(larger.stderr)).toMatch(/frozen from a sandbox/);
    expect((await thaw(["freeze", "web", "Not A Tag"])).exitCode).toBe(2);
    expect((await thaw(["freeze", "nobody", "mine:2"])).exitCode).not.toBe(0);
  });

  test("after the daemon was killed a sandbox is frozen all the same", async () => {
    await run("create", "--name", "web");
    await inside("web", START);
    await killDaemon();
    await run("freeze", "web", "mine:1");
    expect(await run("run", "--snapshot", "mine:1", "--", "cat", "/tmp/s")).toBe("state\n");
  });
});

test("onThaw commands run in each clone before it is used; when one fails nothing is left", async () => {
  const base = readFileSync("templates/base/template.yaml", "utf8");
  const file = join(testHome(), "seeded.yaml");
  const step =
    "[ ! -e /root/break ] || { echo it is broken; exit 3; }; head -c 16 /dev/urandom | od -An -tx1 > /root/seed";
  writeFileSync(
    file,
    `${base.replace(/^(name|tag): base.*$/gm, "$1: seeded")}\nonThaw:\n  - ${JSON.stringify(step)}\n`,
  );
  await run("create", "--template", file, "--name", "sown");
  await run("fork", "sown", "-n", "2", "--name", "child");
  const seeds = await Promise.all(
    ["sown", "child-1", "child-2"].map((name) => inside(name, "cat /root/seed")),
  );
  expect(new Set(seeds).size).toBe(3);
  await inside("sown", "touch /root/break");
  await run("freeze", "sown", "breaks");
  const { exitCode, stderr } = await thaw(["create", "--snapshot", "breaks", "--name", "broken"]);
  expect([exitCode, String(stderr)]).toEqual([
    125,
    expect.stringMatching(/onThaw: step .* exited 3[\s\S]*it is broken/),
  ]);
  expect(await stateOf("broken")).toBeUndefined();
  await run("rm", "--all");
  await run("snapshot", "rm", "breaks", tagOf("seeded"));
});

describe("thaw fork", () => {
  test("children have the state and the processes, names and identities of their own; the parent goes on", async () => {
    await run("create", "--name", "web");
    await inside("web", START);
    const { sandboxes, method, pauseMs } = await thawJson<Forked>([
      "fork",
      "web",
      "-n",
      "3",
      "--name",
      "kid",
      "--ttl",
      "1h",
    ]);
    process.stdout.write(`fork: ${method}, paused ${pauseMs.toFixed(1)} ms\n`);
    expect(sandboxes.map(({ name }) => name)).toEqual(["kid-1", "kid-2", "kid-3"]);
    for (const { createdAt, expiresAt } of sandboxes) {
      const livesMs = Date.parse(expiresAt ?? "") - Date.parse(createdAt);
      expect(Math.abs(livesMs - 3_600_000)).toBeLessThan(600_000);
    }
    const look = "cat /tmp/s; pgrep -c -x sleep; hostname; cat /etc/machine-id";
    const seen = await Promise.all(["kid-1", "kid-2", "kid-3", "web"].map((name) => inside(name, look)));
    for (const text of seen) expect(text).toMatch(/^state\n[12]\n/);
    expect(new Set(seen.map((text) => text.split("\n")[2]))).toEqual(
      new Set(["kid-1", "kid-2", "kid-3", "web"]),
    );
    expect(new Set(seen.map((text) => text.split("\n")[3])).size).toBe(4);
    await inside("kid-1", "echo one > /tmp/s; echo one > /root/f; sync");
    expect(await inside("kid-2", "cat /tmp/s; ls /root/f 2>/dev/null; true")).toBe("state\n");
    // A child outlives its parent and the daemon, and has children.
    await run("rm", "web");
    await killDaemon();
    const again = await thawJson<Forked>(["fork", "kid-1"]);
    expect(again.sandboxes[0]?.expiresAt).toBeNull();
    expect(await inside(again.sandboxes[0]?.name ?? "", "cat /tmp/s /root/f")).toBe("one\none\n");
  });

  test.skipIf(!ownDisk)(
    "the helper ends, or the daemon is killed, after the disk was cut: the machine goes on, and every verb works",
    async () => {
      await run("create", "--name", "web", "--stop-after", "1s");
      await inside("web", START);
      await run("fork", "web", "--name", "first");
      using helper = breakHelper();
      // Between the cut and the copy; it ends when the daemon does.
      helper.fail("hang");
      const hanging = thaw(["fork", "web", "--name", "lost"]);
      await until(() => helper.isHanging(), "the fork to stop the machine");
      helper.fail("nothing");
      await killDaemon();
      await hanging;
      await until(async () => (await stateOf("web")) === "running", "the machine to go on");
      const count = async () => Number(await inside("web", "cat /dev/shm/count"));
      const before = await count();
      await until(async () => (await count()) > before, "the counter to go on");

      helper.fail("end");
      const failed = await thaw(["fork", "web", "--name", "never"]);
      expect([failed.exitCode, String(failed.stderr)]).toEqual([
        125,
        expect.stringMatching(/copying memory failed/),
      ]);
      helper.fail("nothing");
      await inside("web", "echo after > /root/f; sync");
      await run("fork", "web", "--name", "kid");
      expect(await inside("kid-1", "cat /root/f")).toBe("after\n");
      await run("capture", "create", "web");
      await run("freeze", "web", "mine:1");
      await run("pause", "web");
      await until(async () => (await stateOf("web")) === "stopped", "the paused sandbox to be frozen");
      expect(await inside("web", "cat /root/f; pgrep -c -x sleep")).toMatch(/^after\n[12]\n$/);
    },
  );

  test("all or none: a name that is taken, a count out of range", async () => {
    await run("create", "--name", "web");
    await run("create", "--name", "kid-2");
    const taken = await thaw(["fork", "web", "-n", "3", "--name", "kid"]);
    expect([taken.exitCode, String(taken.stderr)]).toEqual([
      125,
      expect.stringMatching(/already a sandbox named kid-2/),
    ]);
    expect((await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name).sort()).toEqual(["kid-2", "web"]);
    expect((await thaw(["fork", "web", "-n", "0"])).exitCode).toBe(2);
    expect((await thaw(["fork", "web", "-n", "101"])).exitCode).toBe(2);
  });
});
