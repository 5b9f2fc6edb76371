/** The agent of a machine, whatever the runner: files, streams, exit codes, ports, connections out. On real machines. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Agent } from "../../runners/agent/agent.ts";
import type { Machine, SnapshotFiles } from "../../runners/runner.ts";
import { testHome } from "../helpers/test-home.ts";
import { until } from "../helpers/thaw.ts";
import { begin, greet, sh } from "./guest.ts";
import { templateFiles } from "./template.ts";
import { createRunner, whyMissing } from "./under-test.ts";

const dir = mkdtempSync("/tmp/ta-");
const options = { home: testHome(), runtimeRoot: join(dir, "run") };
mkdirSync(options.runtimeRoot, { mode: 0o711 });
const runner = createRunner(options);
const why = await whyMissing(runner);

const SERVER = `perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(8080, INADDR_LOOPBACK)); listen(S, 5); while (accept(C, S)) { print C "answer\\n"; close C }'`;

describe.skipIf(why !== "")(`the agent in a machine of ${runner.name}${why && ` (${why})`}`, () => {
  let machine: Machine;
  let agent: Agent;
  let snapshot: SnapshotFiles;

  beforeAll(async () => {
    snapshot = await templateFiles();
    const stateDir = join(dir, "machine");
    mkdirSync(stateDir, { mode: 0o711 });
    machine = await runner.thaw({ id: `agent-${process.pid}`, stateDir, snapshot });
    agent = await greet(machine, "talker");
  });
  afterAll(async () => {
    agent?.close();
    await machine?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test("the machine has the name that it was given, and nothing failed when it got it", async () => {
    expect(agent.welcome.errors).toEqual([]);
    expect((await sh(agent, "hostname")).text).toBe("talker\n");
  });

  test("files go in and out whole", async () => {
    const bytes = Buffer.alloc(3_000_000, "0123456789abcdef");
    await agent.writeFile("/root/big", Readable.from([bytes]));
    expect(await text((await agent.readFile("/root/big")).body)).toBe(bytes.toString());
  });

  test("commands have two streams, an exit code, and a signal when one ends them", async () => {
    const { exit } = await sh(agent, "echo out; echo err >&2; exit 7");
    expect(exit).toMatchObject({ code: 7, signal: null, out: 4, err: 4 });
    const sleeping = await begin(agent, { script: "echo begun; sleep 600" });
    await until(() => sleeping.text() === "begun\n", "the command to begin");
    await agent.signal(sleeping.id, "TERM", "tree");
    expect(await sleeping.exit).toMatchObject({ code: null, signal: "SIGTERM" });
  });

  test("what listens is listed with its process, and is dialled", async () => {
    const server = await begin(agent, { script: `exec ${SERVER}` });
    const listening = async () => (await agent.processes()).listening;
    await until(async () => (await listening()).some(({ port }) => port === 8080), "the port");
    expect(await text(await agent.dial({ port: 8080 }))).toBe("answer\n");
    const { processes } = await agent.processes();
    expect(processes.find(({ name }) => name === "perl")).toMatchObject({ uid: 0 });
    await agent.signal(server.id, "KILL", "tree");
    await server.exit;
  });
});
