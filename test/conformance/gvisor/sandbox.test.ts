/** What only a gVisor sandbox has: its image, its confinement, its one limit of memory. On real sandboxes. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { rootDisk } from "../../../runners/gvisor/image.ts";
import type { Machine, MachineEnd, SnapshotFiles } from "../../../runners/runner.ts";
import { testHome } from "../../helpers/test-home.ts";
import { begin, greet, sh } from "../guest.ts";
import { templateFiles } from "../template.ts";
import { createRunner, guestProcess, whyMissing } from "../under-test.ts";

const dir = mkdtempSync("/tmp/tv-");
const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const runner = createRunner(options);
const why = await whyMissing(runner);

describe.skipIf(why !== "")(`a gVisor sandbox${why && ` (${why})`}`, () => {
  let snapshot: SnapshotFiles;
  const machines: Machine[] = [];
  let serial = 0;

  const thawOne = async (): Promise<Machine> => {
    const id = `gv-${process.pid}-${++serial}`;
    const stateDir = join(dir, id);
    mkdirSync(stateDir, { mode: 0o711 });
    const machine = await runner.thaw({ id, stateDir, snapshot });
    machines.push(machine);
    return machine;
  };

  beforeAll(async () => {
    snapshot = await templateFiles();
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.stop();
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  test("the host was proven by a checkpoint, and doctor says so", async () => {
    expect(await runner.difference()).toMatchObject({ state: "works" });
    expect(await runner.probe()).toMatchObject([{ name: "gvisor", state: "ok", fatal: false }]);
  });

  test("what a tree has at the agent's place is not followed when the agent is put there", () => {
    const tree = join(dir, "tree");
    mkdirSync(tree);
    const victim = join(dir, "victim");
    writeFileSync(victim, "untouched");
    symlinkSync(victim, join(tree, ".thaw-agent"));
    const image = join(dir, "root.erofs");
    const [command, ...args] = rootDisk(resolve("dist/agent/thaw-agent")).argv({ tree, image });
    execFileSync(command, args);
    expect(existsSync(image)).toBe(true);
    expect(readFileSync(victim, "utf8")).toBe("untouched");
  });

  test("nothing of the host is seen or reached: files, processes, interfaces, addresses", async () => {
    const server = createServer((socket) => socket.end("host")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    try {
      const agent = await greet(await thawOne(), "seen");
      const connect = `perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); connect(S, sockaddr_in(${port}, INADDR_LOOPBACK)) or exit 1; print <S>'`;
      const { text: seen } = await sh(
        agent,
        `ls -d ${dir} ${process.cwd()} 2>&1 | grep -c "No such"; ls -d /proc/[0-9]* | wc -l; grep : /proc/net/dev; ${connect}; echo rc $?`,
      );
      agent.close();
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

  test("it is in other namespaces than its host, under a filter of system calls", async () => {
    const sandbox = await guestProcess((await thawOne()).record);
    for (const space of ["user", "net", "mnt", "ipc"])
      expect(readlinkSync(`/proc/${sandbox}/ns/${space}`)).not.toBe(readlinkSync(`/proc/self/ns/${space}`));
    const status = readFileSync(`/proc/${sandbox}/status`, "utf8");
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  });

  test("a program that takes more memory than the sandbox may ends it, and that is told", async () => {
    const machine = await thawOne();
    const end = new Promise<MachineEnd>((done) => machine.onEnd(done));
    const agent = await greet(machine, "full");
    begin(agent, { script: `perl -e '$x = "x" x 600_000_000; sleep 600'` }).catch(() => {});
    expect(await end).toMatchObject({ kind: "exited", cause: "out-of-memory" });
    agent.close();
  });
});
