/** Forwards against the real agent, here an ordinary process: connections to this host's ports reach servers "inside". */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Forwards } from "../../engine/sandboxes/forwards.ts";
import { Agent } from "../../runners/agent/agent.ts";

const BINARY = "guest/target/x86_64-unknown-linux-gnu/release/thaw-agent";

let dir: string;
let child: ChildProcess;
let agent: Agent;
let forwards: Forwards;
let used = 0;
const servers: Server[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "thaw-forwards-"));
  child = spawn(BINARY, ["--socket", join(dir, "s")], { stdio: ["ignore", "ignore", "inherit"] });
  while (!existsSync(join(dir, "s"))) await sleep(5);
  agent = await Agent.connect(connect(join(dir, "s")), { deadlineMs: 10_000 });
  forwards = new Forwards({
    name: "web",
    dial: (port) => agent.dial({ port }),
    acquireUse: () => {
      used += 1;
      return () => (used -= 1);
    },
  });
});
afterEach(() => {
  forwards.closeAll();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => {
  agent.close();
  child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

async function inside(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return (server.address() as { port: number }).port;
}

/** Sends, half-closes, and resolves with what came, or the error's code. */
function ask(port: number, text: string, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connect({ port, host, allowHalfOpen: true }, () => socket.end(text));
    socket.on("data", (chunk) => (got += chunk));
    socket.on("end", () => resolve(got));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  });
}

const echo = (socket: Socket): void => void socket.pipe(socket);

test("both loopback addresses, half-closed both ways; use is counted while a connection is open", async () => {
  const guest = await inside(echo);
  const { port } = await forwards.open({ address: null, port: 0, guest });
  expect(await ask(port, "hello")).toBe("hello");
  expect(await ask(port, "hello", "::1")).toBe("hello");
  const open = connect(port, "127.0.0.1");
  await expect.poll(() => used).toBe(1);
  open.destroy();
  await expect.poll(() => used).toBe(0);
});

test("200 connections at once, each alone: what listens nowhere resets only its own", async () => {
  const guest = await inside(echo);
  const [good, bad] = await Promise.all([
    forwards.open({ address: null, port: 0, guest }),
    forwards.open({ address: "127.0.0.1", port: 0, guest: 1 }),
  ]);
  const all = Array.from({ length: 200 }, (_, index) => ask(good.port, `text ${index}`));
  expect(await ask(bad.port, "x")).toBe("ECONNRESET");
  expect(await Promise.all(all)).toEqual(all.map((_, index) => `text ${index}`));
});

test("a port that is taken, on either address, is refused and leaves nothing behind", async () => {
  const guest = await inside(echo);
  const taken = createServer();
  servers.push(taken);
  await new Promise<void>((done) => taken.listen({ port: 0, host: "::1" }, done));
  const { port } = taken.address() as { port: number };
  await expect(forwards.open({ address: null, port, guest })).rejects.toMatchObject({
    code: "conflict",
    message: `127.0.0.1 and ::1 port ${port} is taken`,
  });
  expect(await ask(port, "x")).toBe("ECONNREFUSED");
  await expect(forwards.open({ address: "192.0.2.200", port: 0, guest })).rejects.toMatchObject({
    code: "usage",
  });
});

test("restored ones that can't listen say why; a closed one ends its connections", async () => {
  const guest = await inside(echo);
  const { port } = await forwards.open({ address: null, port: 0, guest });
  const open = connect(port, "127.0.0.1");
  await expect.poll(() => used).toBe(1);
  const gone = new Promise<void>((resolve) => open.on("error", () => {}).on("close", () => resolve()));
  await forwards.restore([{ address: null, port, guest }]);
  expect(forwards.faults.get(port)).toContain("is taken");
  expect(forwards.close(port)).toBe(true);
  await gone;
  expect(await ask(port, "x")).toBe("ECONNREFUSED");
  expect(forwards.faults.size).toBe(0);
});
