/**
 * The daemon is killed at random moments in the middle of every kind of request: the command ends as it would have, one thing is made, nothing
 * is doubled, and nothing is left that thaw does not know of. The suite kills once in each of a few kinds, those that requests.test.ts does not
 * have; scripts/test-kills.sh kills as often as it is told in every kind.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Thaw } from "../../client/index.ts";
import { Random } from "../helpers/random.ts";
import { testHome } from "../helpers/test-home.ts";
import { isAlive, thaw, thawJson, until } from "../helpers/thaw.ts";

const all = process.env.THAW_KILLS !== undefined;
const kills = Number(process.env.THAW_KILLS ?? 1);
const seed = Number(process.env.THAW_KILLS_SEED ?? Date.now() % 2 ** 31);
const scratch = mkdtempSync(join(tmpdir(), "thaw-killed-"));
const random = new Random(seed);
let sdk: Thaw;

/** What a command answered: its exit code and what it printed; of a call of the SDK, what it returned. */
type Told = { exitCode: number | undefined; stdout: string; stderr: string };

interface Kind {
  name: string;
  /** In the suite; the others by scripts/test-kills.sh. */
  suite?: true;
  /** Does it for the n-th time. */
  ask: (n: number) => Promise<Told>;
  /** Before each. */
  before?: (n: number) => Promise<unknown>;
  /** What must be so afterwards. */
  after: (told: Told, n: number) => Promise<unknown>;
  /** What is there afterwards that was not before: removed again. */
  undo?: (n: number) => Promise<unknown>;
}

async function cli(...args: string[]): Promise<Told> {
  const { exitCode, stdout, stderr } = await thaw(args);
  return { exitCode, stdout: String(stdout), stderr: String(stderr) };
}

async function call(work: () => Promise<unknown>): Promise<Told> {
  try {
    const value = await work();
    return { exitCode: 0, stdout: JSON.stringify(value ?? null), stderr: "" };
  } catch (error) {
    return { exitCode: 125, stdout: "", stderr: String(error) };
  }
}

async function must(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await cli(...args);
  if (exitCode !== 0) throw new Error(`thaw ${args.join(" ")}: ${exitCode}: ${stderr}`);
  return stdout;
}

const rows = async () => (await sdk.sandboxes.list()).map(({ info }) => info);
const stateOf = async (name: string) => (await rows()).find((row) => row.name === name)?.state;
const captures = async () => (await sdk.captures.list()).captures.map(({ id }) => id).sort();
const snapshots = async () => (await sdk.snapshots.list()).map(({ id }) => id).sort();
const tagged = async (tag: string) =>
  (await sdk.snapshots.list()).filter(({ tags }) => tags.includes(tag)).length;
const web = () => sdk.sandboxes.at("web");

/** Counted before each request, compared after it. */
let had: { captures: string[]; snapshots: string[] };

const kinds: Kind[] = [
  {
    name: "create",
    ask: (n) => cli("create", "--name", `made-${n}`),
    after: async (told, n) => expect(told).toMatchObject({ exitCode: 0, stdout: `made-${n}\n` }),
    undo: (n) => must("rm", `made-${n}`),
  },
  {
    name: "fork",
    ask: (n) => cli("fork", "web", "-n", "2", "--name", `copy-${n}`),
    after: async (told, n) =>
      expect(told).toMatchObject({ exitCode: 0, stdout: `copy-${n}-1\ncopy-${n}-2\n` }),
    undo: (n) => must("rm", `copy-${n}-1`, `copy-${n}-2`),
  },
  {
    name: "freeze",
    ask: (n) => cli("freeze", "web", `cut:${n}`),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect(await tagged(`cut:${n}`)).toBe(1);
      expect((await snapshots()).length).toBe(had.snapshots.length + 1);
    },
    undo: (n) => must("snapshot", "rm", `cut:${n}`),
  },
  {
    name: "exec -d",
    ask: (n) => cli("exec", "-d", "web", "--", "sh", "-c", `echo x >> /ran-${n}; exec sleep 600${n}`),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { stdout } = await web().exec(["sh", "-c", `cat /ran-${n}; pgrep -fc '^sleep 600${n}'`]);
      expect(stdout).toBe("x\n1\n");
    },
    undo: (n) => web().exec(["pkill", "-f", `^sleep 600${n}`]),
  },
  {
    name: "exec",
    ask: (n) => cli("exec", "web", "--", "sh", "-c", `echo x >> /did-${n}; echo out; exit 3`),
    after: async (told, n) => {
      expect(told).toMatchObject({ exitCode: 3, stdout: "out\n" });
      expect(await web().files.readText(`/did-${n}`)).toBe("x\n");
    },
  },
  {
    name: "exec in one call",
    ask: (n) => call(async () => (await web().exec(["sh", "-c", `echo x >> /one-${n}; echo out`])).stdout),
    after: async (told, n) => {
      expect(told).toMatchObject({ exitCode: 0, stdout: '"out\\n"' });
      expect(await web().files.readText(`/one-${n}`)).toBe("x\n");
    },
  },
  {
    name: "run",
    ask: () => cli("run", "--", "sh", "-c", "echo once; exit 7"),
    after: async (told) => expect(told).toMatchObject({ exitCode: 7, stdout: "once\n" }),
  },
  {
    name: "capture create",
    ask: () => cli("capture", "create", "web", "--json"),
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect(await captures()).toEqual([...had.captures, JSON.parse(told.stdout).id].sort());
    },
    undo: async () => {
      const made = (await captures()).filter((id) => !had.captures.includes(id));
      await must("capture", "rm", ...made);
    },
  },
  {
    name: "pause",
    suite: true,
    ask: () => cli("pause", "web"),
    after: async (told) => {
      expect(told).toMatchObject({ exitCode: 0 });
      expect(await stateOf("web")).toBe("paused");
    },
    undo: () => must("resume", "web"),
  },
  {
    name: "resume",
    suite: true,
    before: () => must("pause", "web"),
    ask: () => cli("resume", "web"),
    after: async (told) => {
      expect(told).toMatchObject({ exitCode: 0 });
      expect(await stateOf("web")).toBe("running");
    },
  },
  {
    name: "extend",
    suite: true,
    ask: () => cli("extend", "web", "1h", "--json"),
    before: async () => {
      expires = Date.parse((await sdk.sandboxes.get("web")).info.expiresAt ?? "");
    },
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { expiresAt } = (await sdk.sandboxes.get("web")).info;
      expect(Date.parse(expiresAt ?? "") - expires).toBe(3_600_000);
    },
  },
  {
    name: "labels",
    ask: (n) => call(() => web().setLabels({ round: String(n) })),
    after: async (told, n) => {
      expect(told).toMatchObject({ exitCode: 0 });
      expect((await sdk.sandboxes.get("web")).info.labels).toEqual({ round: String(n) });
    },
  },
  {
    name: "port",
    suite: true,
    ask: () => call(() => web().ports.add({ port: 0, guest: 80 })),
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { forwards } = await web().ports.state();
      expect(forwards).toEqual([{ ...JSON.parse(told.stdout), fault: null }]);
    },
    undo: removeForwards,
  },
  {
    name: "port --rm",
    before: async () => {
      forwarded = (await web().ports.add({ port: 0, guest: 81 })).port ?? 0;
    },
    ask: () => cli("port", "web", "--rm", String(forwarded)),
    after: async (told) => {
      expect(told).toMatchObject({ exitCode: 0, stderr: "" });
      expect((await web().ports.state()).forwards).toEqual([]);
    },
  },
  {
    name: "network set",
    ask: (n) => cli("network", "set", "web", "--allow", `h${n}.example.com`),
    after: async (told, n) => {
      expect(told).toMatchObject({ exitCode: 0, stderr: "" });
      expect(JSON.stringify(await web().network.state())).toContain(`h${n}.example.com`);
    },
  },
  {
    name: "cp in",
    ask: (n) => cli("cp", scratch, `web:/in-${n}`),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { stdout } = await web().exec(["sh", "-c", `cat /in-${n}/* | cksum; ls /in-${n} | wc -l`]);
      expect(stdout).toBe(`${await checksum(scratch)}\n1\n`);
    },
    undo: (n) => web().exec(["rm", "-r", `/in-${n}`]),
  },
  {
    name: "cp out",
    suite: true,
    before: () => web().exec(["sh", "-c", "mkdir -p /out; head -c 8000000 /dev/urandom > /out/f"]),
    ask: (n) => cli("cp", "web:/out", join(scratch, `out-${n}`)),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { stdout } = await web().exec(["sh", "-c", "cksum < /out/f"]);
      expect(`${await checksum(join(scratch, `out-${n}`))}\n`).toBe(stdout);
    },
    undo: async (n) => rmSync(join(scratch, `out-${n}`), { recursive: true, force: true }),
  },
  {
    name: "cp out, one file to stdout",
    ask: () => cli("cp", "web:/bin/bash", "-"),
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      const { size } = await web().files.stat("/usr/bin/bash");
      expect(Buffer.byteLength(told.stdout, "utf8")).toBeGreaterThanOrEqual(size);
    },
  },
  {
    name: "snapshot tag",
    ask: (n) => cli("snapshot", "tag", "base", `named:${n}`),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect(await tagged(`named:${n}`)).toBe(1);
    },
    undo: (n) => must("snapshot", "rm", `named:${n}`),
  },
  {
    name: "snapshot rm",
    before: (n) => must("freeze", "web", `gone:${n}`),
    ask: (n) => cli("snapshot", "rm", `gone:${n}`),
    after: async (told, n) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect(await tagged(`gone:${n}`)).toBe(0);
      expect(await snapshots()).toEqual(had.snapshots.filter((id) => id !== frozenFor.get(n)));
    },
  },
  {
    name: "rm",
    before: () => must("create", "--name", "goes"),
    ask: () => cli("rm", "goes"),
    after: async (told) => expect(told).toMatchObject({ exitCode: 0, stderr: "" }),
  },
  {
    name: "capture rm latest",
    suite: true,
    before: async () => {
      await must("capture", "create", "web");
      had.captures = await captures();
    },
    ask: () => cli("capture", "rm", "latest"),
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect((await captures()).length).toBe(had.captures.length - 1);
    },
  },
  {
    name: "replay",
    ask: (n) => cli("replay", failure, "--name", `again-${n}`, "--", "sh", "-c", "cat /evidence; exit 5"),
    after: async (told) => expect(told).toMatchObject({ exitCode: 5, stdout: "kept\n" }),
  },
  {
    name: "rerun",
    suite: true,
    ask: () => cli("rerun", failure, "-n", "3", "--json"),
    after: async (told) => {
      const { runs, verdict } = JSON.parse(told.stdout) as { runs: { number: number }[]; verdict: string };
      expect([verdict, runs.map(({ number }) => number)], told.stderr).toEqual(["broken", [1, 2, 3]]);
      expect(await captures()).toEqual(had.captures);
    },
  },
  {
    name: "template build",
    ask: () => cli("template", "build", "base"),
    after: async (told) => {
      expect(told.exitCode, told.stderr).toBe(0);
      expect(await snapshots()).toEqual(had.snapshots);
    },
  },
  {
    name: "wait, events and logs",
    before: async () => {
      await web().startDetached({
        argv: ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done"],
        id: "told",
      });
    },
    ask: () =>
      call(async () => {
        const { exit } = await web().execAt("told").wait();
        let text = "";
        for await (const piece of web().execAt("told").logs({ follow: true }))
          if ("data" in piece) text += new TextDecoder().decode(piece.data);
        const types: string[] = [];
        for await (const event of sdk.events({ follow: false, sandbox: "web" })) types.push(event.type);
        return [exit?.code, text, types.includes("exec.started")];
      }),
    after: async (told) =>
      expect(told).toMatchObject({
        exitCode: 0,
        stdout: JSON.stringify([0, "1\n2\n3\n4\n5\n6\n7\n8\n", true]),
      }),
    undo: () => web().exec(["true"]),
  },
  {
    name: "network log -f",
    ask: (n) =>
      call(async () => {
        const names = [1, 2, 3, 4].map((index) => `x${index}.killed-${n}.example.com`);
        // While no daemon runs, nothing is logged: each name is asked for until a daemon denies it.
        const asks = names.map(
          (name) => `until curl -sm5 http://${name}/ | grep -q allow; do sleep 0.1; done`,
        );
        await web().startDetached({ argv: ["sh", "-c", asks.join("; ")], id: `asks-${n}` });
        const lines: string[] = [];
        const wanted = new Set(names);
        for await (const entry of web().network.log({ follow: true })) {
          lines.push(JSON.stringify(entry));
          wanted.delete(entry.name ?? "");
          if (wanted.size === 0) break;
        }
        return new Set(lines).size === lines.length;
      }),
    after: async (told) => expect(told).toMatchObject({ exitCode: 0, stdout: "true" }),
  },
];

let expires = 0;
let forwarded = 0;
let failure = "";
const frozenFor = new Map<number, string>();

async function removeForwards(): Promise<void> {
  for (const { port } of (await web().ports.state()).forwards) await web().ports.remove(port ?? 0);
}

async function checksum(folder: string): Promise<string> {
  const { stdout } = await execa("sh", ["-c", `cat ${folder}/* | cksum`]);
  return String(stdout);
}

beforeAll(async () => {
  process.stderr.write(`THAW_KILLS=${kills} THAW_KILLS_SEED=${seed}\n`);
  await must("template", "build", "base");
  await must("rm", "--all");
  writeFileSync(join(scratch, "data"), Buffer.alloc(4_000_000, "0123456789abcdef\n"));
  const failed = await cli(
    "run",
    "--capture",
    "on-failure",
    "--",
    "sh",
    "-c",
    "echo kept > /evidence; exit 3",
  );
  expect(failed.exitCode).toBe(3);
  [{ id: failure = "" } = {}] = await thawJson<{ id: string }[]>(["capture", "ls"]);
  await must("create", "--name", "web", "--ttl", "100h");
  const { socket } = await thawJson<{ socket: string }>(["daemon", "status"]);
  sdk = new Thaw({ home: testHome(), socket });
});
afterAll(async () => {
  await sdk.close();
  await must("rm", "--all");
  rmSync(scratch, { recursive: true, force: true });
});

/** Nothing is in the state folder, and no machine runs, that thaw does not list. */
async function expectNothingUnknown(): Promise<void> {
  const home = testHome();
  const entries = (folder: string) =>
    existsSync(join(home, folder)) ? readdirSync(join(home, folder)).sort() : [];
  const found = async () => {
    const listed = await rows();
    const ids = listed.map(({ id }) => id).sort();
    const live = listed
      .filter((row) => row.state === "running" || row.state === "paused")
      .map(({ id }) => id);
    return {
      sandboxes: [entries("sandboxes"), ids],
      captures: [entries("captures"), await captures()],
      snapshots: [entries("snapshots"), await snapshots()],
      builds: [entries("builds"), []],
      machines: [machinesOf(home), live.sort()],
    };
  };
  const isKnown = (all: Awaited<ReturnType<typeof found>>) =>
    Object.values(all).every(([there, known]) => JSON.stringify(there) === JSON.stringify(known));
  let last = await found();
  await until(async () => {
    last = await found();
    return isKnown(last);
  }, "all that is there to be listed").catch(() => {});
  for (const [there, known] of Object.values(last)) expect(there).toEqual(known);
  expect(await sdk.quarantine.list()).toEqual([]);
}

/** Ids of sandboxes whose machines run, by the processes that name their folder. */
function machinesOf(home: string): string[] {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    let line = "";
    try {
      line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue;
    }
    const id = /process=thaw-vm/.test(line) ? /-name\0thaw-([a-z0-9]+)/.exec(line)?.[1] : undefined;
    if (id !== undefined && line.includes(`${home}/`)) found.add(id);
  }
  return [...found].sort();
}

test.each(kinds.filter(({ suite }) => all || suite))(
  "$name",
  { timeout: 240_000 + kills * 60_000 },
  async ({ ask, before, after, undo }) => {
    // How long it takes undisturbed says where its middle is.
    let lasts = 0;
    for (let n = 0; n <= kills; n += 1) {
      const list = await snapshots();
      had = { captures: await captures(), snapshots: list };
      await before?.(n);
      const fresh = (await snapshots()).filter((id) => !list.includes(id));
      if (fresh[0] !== undefined) {
        frozenFor.set(n, fresh[0]);
        had.snapshots = await snapshots();
      }
      const { pid } = await sdk.host.info();
      const start = performance.now();
      const asked = ask(n);
      const moment = lasts * (0.15 + 0.85 * random.next());
      if (n > 0) {
        await Promise.race([sleep(moment), asked]);
        if (isAlive(pid)) process.kill(pid, "SIGKILL");
      }
      const told = await asked;
      if (n === 0) lasts = performance.now() - start;
      await after(told, n).catch((error: unknown) => {
        throw new Error(
          `killed after ${Math.round(moment)} of ${Math.round(lasts)} ms: ${told.stderr}\n${String(error)}`,
          {
            cause: error,
          },
        );
      });
      await undo?.(n);
      await expectNothingUnknown();
    }
  },
);
