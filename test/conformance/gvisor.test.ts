/** What the gVisor runner owes the engine, on real sandboxes. Where its probe says no, all is skipped with the reason. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Agent } from "../../runners/agent/agent.ts";
import { rootDisk } from "../../runners/gvisor/image.ts";
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";
import type { Machine, MachineEnd, MachineRecord, SnapshotFiles } from "../../runners/runner.ts";
import { pidOf } from "../helpers/keeper.ts";
import { testHome } from "../helpers/test-home.ts";
import { isAlive, until } from "../helpers/thaw.ts";
import { begin, greet, sh } from "./guest.ts";

const dir = mkdtempSync("/tmp/tc-");
const options = {
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  keeperPath: resolve("dist/agent/thaw-keeper"),
  runtimeRoot: join(dir, "run"),
};
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const another = () => createGvisorRunner(options);
const runner = another();
const resources = { cpus: 1, memoryMib: 128, diskMib: 64 };
const COMMANDS = [
  "cat",
  "df",
  "echo",
  "grep",
  "head",
  "hostname",
  "id",
  "ls",
  "nc",
  "ps",
  "sh",
  "sleep",
  "sync",
  "tail",
  "wc",
];

const [probe] = await runner.probe();
/** It is not tested yet, or it works. */
const can = probe?.state === "ok" || probe?.hint?.includes("--runner gvisor") === true;
if (!can && process.env.REQUIRE_GVISOR === "1") throw new Error(`gvisor can't run here: ${probe?.detail}`);

describe.skipIf(!can)(`gvisor${can ? "" : ` (${probe?.detail})`}`, () => {
  let snapshot: SnapshotFiles;
  const rootImage = join(dir, "root.erofs");
  const machines: Machine[] = [];
  const agents: Agent[] = [];
  let serial = 0;

  const place = () => {
    const id = `gv-${process.pid}-${++serial}`;
    const stateDir = join(dir, id);
    mkdirSync(stateDir);
    return { id, stateDir };
  };
  const folder = (name: string): string => {
    const path = join(dir, `${name}-${++serial}`);
    mkdirSync(path);
    return path;
  };
  const kept = (machine: Machine): Machine => {
    machines.push(machine);
    return machine;
  };
  const boot = async (): Promise<Machine> => {
    const kernel = { suite: "bookworm", sources: async () => null };
    const { kernelDir } = await runner.prepareKernel(kernel);
    const disk = { path: rootImage, format: "raw" } as const;
    return kept(await runner.boot({ ...place(), resources, kernelDir, disk }));
  };
  const thaw = async (from = snapshot): Promise<Machine> =>
    kept(await runner.thaw({ ...place(), snapshot: from }));
  const talk = async (machine: Machine, name = "conf"): Promise<Agent> => {
    const agent = await greet(machine, name);
    agents.push(agent);
    expect(agent.welcome.errors).toEqual([]);
    return agent;
  };

  beforeAll(async () => {
    const tree = folder("tree");
    for (const name of ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"])
      mkdirSync(join(tree, name));
    copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
    for (const name of COMMANDS) symlinkSync("busybox", join(tree, "bin", name));
    // As an image of a stranger may have it: the agent must not be written through it.
    symlinkSync(join(dir, "followed"), join(tree, ".thaw-agent"));
    const [command, ...args] = rootDisk(options.agentPath).argv({ tree, image: rootImage });
    execFileSync(command, args);
    expect(existsSync(join(dir, "followed"))).toBe(false);

    const { kernelDir } = await runner.prepareKernel({ suite: "bookworm", sources: async () => null });
    const needs = await runner.needs(kernelDir);
    const machine = await boot();
    const agent = await talk(machine, "boot");
    await sh(agent, "echo frozen > /root/mark");
    await agent.quiesce();
    agent.close();
    const draft = folder("snapshot");
    copyFileSync(rootImage, join(draft, "disk.qcow2"));
    const pid = await pidOf(machine.record);
    await machine.freeze(draft);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(machine.record.runtimeDir)).toBe(false);
    expect(existsSync(join(machine.record.stateDir, "gvisor"))).toBe(false);
    snapshot = { dir: draft, id: "conformance", resources, needs };
    expect(await runner.incompatibilities(snapshot)).toEqual([]);
  });
  afterEach(async () => {
    for (const agent of agents.splice(0)) agent.close();
    for (const machine of machines.splice(0)) await machine.stop();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("it was proven by a checkpoint, and the host's notes say so", async () => {
    expect(await runner.difference()).toMatchObject({ state: "works" });
    expect(await runner.probe()).toMatchObject([{ name: "gvisor", state: "ok", fatal: false }]);
  });

  test("clones of a snapshot have its memory and files, names of their own, and change nothing of it", async () => {
    const digest = () =>
      ["memory", "devices", "disk.qcow2"].map((name) => readFileSync(join(snapshot.dir, name)).length);
    const before = digest();
    const clones = await Promise.all([thaw(), thaw()]);
    const said = await Promise.all(
      clones.map(async (machine, index) => {
        const agent = await talk(machine, `clone-${index}`);
        const script =
          "cat /root/mark; ls /root; echo x > /root/own-$(hostname); hostname; cat /etc/machine-id";
        return (await sh(agent, script)).text.split("\n");
      }),
    );
    expect(said.map((lines) => lines.slice(0, 3))).toEqual([
      ["frozen", "mark", "clone-0"],
      ["frozen", "mark", "clone-1"],
    ]);
    expect(said[0]?.[3]).toMatch(/^[0-9a-f]{32}$/);
    expect(said[0]?.[3]).not.toBe(said[1]?.[3]);
    expect(digest()).toEqual(before);
  });

  test("nothing of the host is seen or reached: files, processes, interfaces, addresses", async () => {
    const server = createServer((socket) => socket.end("host")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    try {
      const agent = await talk(await thaw());
      const { text: seen } = await sh(
        agent,
        `ls -d ${dir} ${process.cwd()} 2>&1 | grep -c "No such"; ps | wc -l; grep : /proc/net/dev; nc -w 2 127.0.0.1 ${port} </dev/null 2>/dev/null; echo rc $?`,
      );
      const lines = seen.trim().split("\n");
      expect(lines[0]).toBe("2");
      expect(Number(lines[1])).toBeLessThan(8);
      expect(lines.slice(2, -1).filter((line) => !/^\s*lo:/.test(line))).toEqual([]);
      expect(lines.at(-1)).not.toBe("rc 0");
      expect(seen).not.toContain("host");
    } finally {
      server.close();
    }
  });

  test("its processes are in a cgroup of their own, in other namespaces, under a filter of system calls", async () => {
    const machine = await thaw();
    const group = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
      .flatMap((root) =>
        execFileSync("find", [root, "-name", machine.record.id, "-type", "d"]).toString().trim().split("\n"),
      )
      .find((path) => path !== "");
    const pids = readFileSync(`${group}/cgroup.procs`, "utf8").trim().split("\n");
    const sandbox = pids.find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("runsc-sandbox"),
    );
    expect(sandbox).toBeDefined();
    for (const space of ["user", "net", "mnt", "ipc"])
      expect(readlinkSync(`/proc/${sandbox}/ns/${space}`)).not.toBe(readlinkSync(`/proc/self/ns/${space}`));
    const status = readFileSync(`/proc/${sandbox}/status`, "utf8");
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  });

  test("files go in and out, execs have streams and exit codes, a port is dialled", async () => {
    const agent = await talk(await thaw());
    const bytes = Buffer.alloc(3_000_000, "0123456789abcdef");
    await agent.writeFile("/root/big", Readable.from([bytes]));
    expect(await text((await agent.readFile("/root/big")).body)).toBe(bytes.toString());
    const { exit } = await sh(agent, "echo out; echo err >&2; exit 7");
    expect(exit).toMatchObject({ code: 7, out: 4, err: 4 });
    const server = await begin(agent, { script: "while :; do echo answer | nc -l -p 8080; done" });
    await until(
      async () => (await agent.processes()).listening.some(({ port }) => port === 8080),
      "the port",
    );
    expect(await text(await agent.dial({ port: 8080 }))).toBe("answer\n");
    await agent.signal(server.id, "KILL", "tree");
    await server.exit;
  });

  test("pauses and goes on; state, figures, console", async () => {
    const machine = await thaw();
    const agent = await talk(machine);
    expect(await machine.state()).toBe("running");
    agent.close();
    await machine.pause();
    await machine.pause();
    expect(await machine.state()).toBe("paused");
    await expect(machine.agent({ deadlineMs: 300 })).rejects.toMatchObject({ kind: "timeout" });
    await machine.resume();
    await machine.resume();
    expect(await machine.state()).toBe("running");
    expect((await sh(await talk(machine), "cat /root/mark")).text).toBe("frozen\n");
    await sh(agents.at(-1) as Agent, "echo said-on-the-console > /proc/1/fd/2");
    await until(async () => (await machine.console()).includes("said-on-the-console"), "the console");
    const { pssBytes, rssBytes, cpuMs } = await machine.stats();
    expect(pssBytes).toBeGreaterThan(1 << 20);
    expect(rssBytes).toBeGreaterThanOrEqual(pssBytes);
    expect(cpuMs).toBeGreaterThan(0);
  });

  test("a difference holds memory, files and running programs; the machine goes on, and so does what is thawed of it", async () => {
    const machine = await thaw();
    const agent = await talk(machine);
    const counter = await begin(agent, { script: "x=41; read line < /tmp/none; echo $x" }).then(() =>
      begin(agent, {
        script: "echo begun; n=0; while :; do n=$((n+1)); echo $n > /root/count; sleep 0.05; done",
      }),
    );
    await until(() => counter.text().includes("begun"), "the counter");
    const taken = await machine.takeDifference(folder("difference"));
    expect(taken.layers).toEqual([]);
    const count = async (one: Agent) => Number((await sh(one, "cat /root/count")).text);
    const counts = async (one: Agent): Promise<void> => {
      const first = await count(one);
      await until(async () => (await count(one)) > first, "the counter to go on");
    };
    await counts(agent);
    for (const name of ["pages", "devices"]) expect(statSync(join(taken.dir, name)).mode & 0o222).toBe(0);
    const twin = kept(await runner.thaw({ ...place(), snapshot, difference: taken }));
    await counts(await talk(twin, "twin"));
    await counts(agent);
  });

  test("a snapshot is made of a machine that goes on; of a paused one, which stays paused", async () => {
    const machine = await thaw();
    const agent = await talk(machine);
    await sh(agent, "echo later > /root/mark");
    agent.close();
    await machine.pause();
    const draft = folder("live");
    const { layers, build } = await machine.freezeLive({ ...place(), dir: draft });
    expect(await machine.state()).toBe("paused");
    expect([layers, build]).toEqual([[], snapshot.needs.build]);
    const clone = await thaw({ ...snapshot, dir: draft, id: "live" });
    expect((await sh(await talk(clone), "cat /root/mark")).text).toBe("later\n");
    await machine.resume();
    expect((await sh(await talk(machine), "cat /root/mark")).text).toBe("later\n");
  });

  test("is adopted by another, with what it was doing; survives the SIGKILL of the process that thawed it", async () => {
    const spec = { ...place(), snapshot };
    const child = spawn(
      process.execPath,
      ["test/conformance/gvisor-thaw-and-wait.ts", JSON.stringify({ options, spec })],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const record = JSON.parse(String(line)) as MachineRecord;
    child.kill("SIGKILL");
    await once(child, "exit");
    const machine = kept(await runner.adopt(record));
    expect((await sh(await talk(machine), "cat /root/mark; echo state > /tmp/state")).text).toBe("frozen\n");
    agents.splice(0).forEach((agent) => void agent.close());
    await machine.detach();
    const adopted = kept(await another().adopt(record));
    expect((await sh(await talk(adopted), "cat /tmp/state")).text).toBe("state\n");
    const pid = await pidOf(record);
    await adopted.stop();
    expect(isAlive(pid)).toBe(false);
    await expect(another().adopt(record)).rejects.toMatchObject({ code: "machine-gone" });
  });

  test("clear removes a machine nobody has the record of", async () => {
    const machine = await thaw();
    await machine.detach();
    const { id, stateDir, runtimeDir } = machine.record;
    const pid = await pidOf(machine.record);
    await another().clear({ id, stateDir });
    await until(() => !isAlive(pid), "the process to end");
    expect(existsSync(runtimeDir)).toBe(false);
    expect(existsSync(join(stateDir, "gvisor"))).toBe(false);
    await another().clear({ id, stateDir });
  });

  test("ends are told: at the agent's word, by a signal from outside, for want of memory", async () => {
    const endOf = (machine: Machine): Promise<MachineEnd> => new Promise((done) => machine.onEnd(done));
    const off = await thaw();
    const end = endOf(off);
    await (await talk(off)).powerOff().catch(() => {});
    expect(await end).toEqual({ kind: "powered-off" });
    expect(await off.state()).toBe("ended");

    const killed = await thaw();
    const noticed = endOf(killed);
    process.kill(await pidOf(killed.record), "SIGKILL");
    expect(await noticed).toMatchObject({ kind: "exited", cause: "signal" });

    const full = await thaw();
    const outOfMemory = endOf(full);
    const agent = await talk(full);
    begin(agent, { script: "head -c 600000000 /dev/zero > /dev/shm/fill" }).catch(() => {});
    expect(await outOfMemory).toMatchObject({ kind: "exited", cause: "out-of-memory" });
  });

  test("what is spoilt, of another build or from another host is refused, and nothing is left", async () => {
    const refused = async (from: SnapshotFiles, error: object): Promise<void> => {
      const where = place();
      await expect(runner.thaw({ ...where, snapshot: from })).rejects.toMatchObject(error);
      expect(existsSync(join(where.stateDir, "gvisor"))).toBe(false);
      expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
    };
    const copyOf = (name: string): SnapshotFiles => {
      const copy = folder("copy");
      for (const file of ["memory", "devices", "disk.qcow2"]) {
        copyFileSync(join(snapshot.dir, file), join(copy, file));
        if (file === name) execFileSync("chmod", ["644", join(copy, file)]);
      }
      return { ...snapshot, dir: copy };
    };
    const cut = copyOf("devices");
    truncateSync(join(cut.dir, "devices"), 1000);
    await refused(cut, { code: "corrupt-snapshot" });
    const spoilt = copyOf("devices");
    writeSync(openSync(join(spoilt.dir, "devices"), "r+"), Buffer.alloc(4096, 0xff), 0, 4096, 2000);
    await refused(spoilt, { code: "start-failed" });
    const gone = copyOf("disk.qcow2");
    rmSync(join(gone.dir, "disk.qcow2"));
    await refused(gone, { code: "ENOENT" });
    await refused({ ...snapshot, imported: true }, { code: "unsupported" });
    const needs = { ...snapshot.needs, build: "runsc 20990101.0" };
    await refused(
      { ...snapshot, needs },
      { code: "incompatible", message: expect.stringContaining("20990101") },
    );
    await refused({ ...snapshot, needs: { ...snapshot.needs, cpu: "features x" } }, { code: "incompatible" });
  });

  test("interrupted while it thaws: nothing is left", async () => {
    for (const delayMs of [0, 30, 90]) {
      const where = place();
      const thawing = runner.thaw({ ...where, snapshot }, AbortSignal.timeout(delayMs));
      await thawing.then((machine) => machine.stop()).catch(() => {});
      expect(existsSync(join(options.runtimeRoot, where.id))).toBe(false);
      expect(existsSync(join(where.stateDir, "gvisor"))).toBe(false);
    }
  });
});
