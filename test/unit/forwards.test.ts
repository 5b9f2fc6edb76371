/** Forwards against the real agent, here an ordinary process: connections to this host's ports reach servers "inside". */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Forward, ForwardRequest } from "../../api/ports.ts";
import { type ForwardHost, Forwards } from "../../engine/sandboxes/forwards.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { untilListening } from "../helpers/listening.ts";

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
  await untilListening(child, join(dir, "s"));
  agent = await Agent.connect(connect(join(dir, "s")), { deadlineMs: 60_000 });
  forwards = new Forwards(host());
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

const host = (): ForwardHost => ({
  record: { name: "web" },
  sockets: { refused: null, ownFolders: [join(dir, "own")] },
  dial: (to) => agent.dial(typeof to === "number" ? { port: to } : { path: to }),
  acquireUse: () => {
    used += 1;
    return () => (used -= 1);
  },
});

async function inside(onConnection: (socket: Socket) => void, address = "127.0.0.1"): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  servers.push(server);
  if (address.startsWith("/")) await new Promise<void>((done) => server.listen(address, done));
  else await new Promise<void>((done) => server.listen(0, address, done));
  return (server.address() as { port: number }).port;
}

const ofPort = async (asked: Omit<ForwardRequest, "path">): Promise<Forward & { port: number }> => {
  const made = await forwards.open(asked);
  return { ...made, port: made.port ?? 0 };
};

/** Sends, half-closes, and resolves with what came, or the error's code. */
function ask(at: number | string, text: string, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const place = typeof at === "string" ? { path: at } : { port: at, host };
    const socket = connect({ ...place, allowHalfOpen: true }, () => socket.end(text));
    socket.on("data", (chunk) => (got += chunk));
    socket.on("end", () => resolve(got));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  });
}

const echo = (socket: Socket): void => void socket.pipe(socket);

test("both loopback addresses, half-closed both ways; use is counted while a connection is open", async () => {
  const guest = await inside(echo);
  const { port } = await ofPort({ port: 0, guest });
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
    ofPort({ port: 0, guest }),
    ofPort({ address: "127.0.0.1", port: 0, guest: 1 }),
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
  await expect(forwards.open({ port, guest })).rejects.toMatchObject({
    code: "conflict",
    message: `127.0.0.1 and ::1 port ${port} is taken by this daemon itself: another sandbox's forward (thaw ls), or previews`,
  });
  expect(await ask(port, "x")).toBe("ECONNREFUSED");
  await expect(forwards.open({ address: "192.0.2.200", port: 0, guest })).rejects.toMatchObject({
    code: "usage",
  });
});

test("restored ones that can't listen say why; a closed one ends its connections", async () => {
  const guest = await inside(echo);
  const { port } = await ofPort({ port: 0, guest });
  const open = connect(port, "127.0.0.1");
  await expect.poll(() => used).toBe(1);
  const gone = new Promise<void>((resolve) => open.on("error", () => {}).on("close", () => resolve()));
  await forwards.restore([{ address: null, port, path: null, guest }]);
  expect(forwards.faults.get(port)).toContain("is taken");
  expect(forwards.close(port)).toBe(true);
  await gone;
  expect(await ask(port, "x")).toBe("ECONNREFUSED");
  expect(forwards.faults.size).toBe(0);
});

test("inside, 127.0.0.1 is tried, then ::1", async () => {
  const { port } = await ofPort({ port: 0, guest: await inside(echo, "::1") });
  expect(await ask(port, "hello")).toBe("hello");
});

describe("unix sockets", () => {
  let folder: string;
  beforeAll(() => {
    folder = join(dir, "sockets");
    mkdirSync(folder, { mode: 0o700 });
    mkdirSync(join(dir, "own"));
  });

  test("on the host, in the guest, and on both sides; for their user only; gone at the end", async () => {
    const path = join(folder, "web.sock");
    const socketInside = join(folder, "inside.sock");
    const guest = await inside(echo);
    await inside(echo, socketInside);
    expect(await forwards.open({ path, guest })).toEqual({ address: null, port: null, path, guest });
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(await ask(path, "hello")).toBe("hello");
    const { port } = await ofPort({ port: 0, guest: socketInside });
    expect(await ask(port, "hello")).toBe("hello");
    const both = join(folder, "both.sock");
    await forwards.open({ path: both, guest: socketInside });
    expect(await ask(both, "hello")).toBe("hello");
    const { port: nowhere } = await ofPort({ port: 0, guest: join(folder, "none.sock") });
    expect(await ask(nowhere, "x")).toBe("ECONNRESET");

    const open = connect(path);
    await expect.poll(() => used).toBe(1);
    const gone = new Promise<void>((done) => open.on("error", () => {}).on("close", () => done()));
    expect(forwards.close(path)).toBe(true);
    await gone;
    expect(existsSync(path)).toBe(false);
    forwards.closeAll();
    expect(existsSync(both)).toBe(false);
  });

  test("one that a killed daemon left is taken over; one that somebody listens at is not", async () => {
    const guest = await inside(echo);
    const path = join(folder, "left.sock");
    const made = { address: null, port: null, path, guest };
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    await promisify(execFile)(process.execPath, ["-e", script]).catch(() => {});
    expect(await ask(path, "x")).toBe("ECONNREFUSED");
    await forwards.restore([made]);
    expect([...forwards.faults]).toEqual([]);
    expect(await ask(path, "hello")).toBe("hello");

    const second = new Forwards(host());
    await second.restore([made]);
    expect(second.faults.get(path)).toBe(`${path} is taken: another program listens on it`);
    expect(second.close(path)).toBe(false);
    expect(await ask(path, "hello")).toBe("hello");
  });

  test("no path that belongs to somebody else, and none where somebody else could change what is there", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "kept");
    symlinkSync("/etc", join(dir, "link"));
    symlinkSync(file, join(folder, "link"));
    mkdirSync(join(dir, "open"));
    chmodSync(join(dir, "open"), 0o777);
    const theirs = join(dir, "theirs");
    mkdirSync(theirs);
    const refused = async (path: string, sockets = host().sockets) => {
      const asked = new Forwards({ ...host(), sockets }).open({ path, guest: 80 });
      return asked.then(
        () => "listens",
        (error: Error) => error.message,
      );
    };
    expect(await refused(file)).toContain("there is a file that is not a socket");
    expect(await refused(join(folder, "link"))).toContain("there is a file that is not a socket");
    expect(await refused(join(dir, "link", "x"))).toContain("contains a symbolic link");
    expect(await refused(join(dir, "none", "x"))).toContain("there is no folder");
    expect(await refused(join(dir, "open", "x"))).toContain("can be written by everybody");
    expect(await refused(join(dir, "own", "x"))).toContain("can't hold a forward's socket");
    expect(await refused("/dev/log2")).toContain("/dev can't hold a forward's socket");
    expect(await refused(join(folder, "x"), { refused: "not here", ownFolders: [] })).toContain("not here");
    if (process.getuid?.() === 0) {
      chownSync(theirs, 1234, 1234);
      expect(await refused(join(theirs, "x"))).toContain("belongs to user 1234");
    }
    expect(lstatSync(file).size).toBe(4);
  });
});

describe("a port that can't be had", () => {
  /** Opens a forward of `port` in a process of its own; prints what came of it. */
  const script = (port: number): string => `
    import { Forwards } from "${process.cwd()}/engine/sandboxes/forwards.ts";
    import { connect } from "node:net";
    const sockets = { refused: null, ownFolders: [] };
    const forwards = new Forwards({ name: "web", sockets, dial: async () => { throw new Error() }, acquireUse: () => () => {} });
    const reach = (port, host) => new Promise((done) => connect(port, host).on("connect", () => done("listens")).on("error", (e) => done(e.code === "ECONNRESET" ? "listens" : e.code)));
    const told = await forwards.open({ port: ${port}, guest: 80 }).then(
      async ({ port }) => [await reach(port, "127.0.0.1"), await reach(port, "::1")].join(" "),
      (error) => error.code + ": " + error.message);
    console.log(told);
    process.exit();`;

  test("by whom it is taken is told", async () => {
    const listen = `require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port) })`;
    const other = spawn(process.execPath, ["-e", listen], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const port = await new Promise<number>((done) =>
        other.stdout.once("data", (data) => done(Number(data))),
      );
      await expect(forwards.open({ port, guest: 80 })).rejects.toThrow(
        new RegExp(`^127.0.0.1 and ::1 port ${port} is taken by .+ \\(process ${other.pid}\\)$`),
      );
    } finally {
      other.kill("SIGKILL");
    }
  });

  test.runIf(process.getuid?.() === 0)(
    "below 1024 as an ordinary user; on a host with one address family",
    async () => {
      const run = async (setUp: string, port: number): Promise<string> => {
        const shell = `ip link set lo up; ${setUp}; exec setpriv --reuid 65534 --regid 65534 --clear-groups '${process.execPath}' --input-type=module`;
        const child = promisify(execFile)("unshare", ["--net", "sh", "-c", shell]);
        child.child.stdin?.end(script(port));
        return (await child).stdout.trim();
      };
      const [privileged, one, both] = await Promise.all([
        run("echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start", 80),
        run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", 8080),
        run("true", 8080),
      ]);
      expect(privileged).toBe(
        "usage: 127.0.0.1 and ::1 port 80: ports below 1024 need a daemon that runs as root",
      );
      expect(one).toBe("listens EADDRNOTAVAIL");
      expect(both).toBe("listens listens");
    },
  );
});
