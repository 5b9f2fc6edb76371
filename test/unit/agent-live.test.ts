/** The host's half against the real agent, here an ordinary process behind a unix socket. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { packTree } from "../../client/tree/pack.ts";
import { SourceFolder } from "../../client/tree/source-folder.ts";
import { unpackTree } from "../../client/tree/unpack.ts";
import { walkFolder } from "../../client/tree/walk.ts";
import { Agent, type ExecStream } from "../../runners/agent/agent.ts";
import { duplexOf } from "../../runners/agent/duplex.ts";
import { type ExitEvent, exitEvent, type StartParams } from "../../runners/agent/messages.ts";
import { EXEC_WINDOW_BYTES } from "../../runners/agent/protocol.ts";
import { untilListening } from "../helpers/listening.ts";
import { until } from "../helpers/processes.ts";

const BINARY = "guest/target/x86_64-unknown-linux-gnu/release/thaw-agent";
const isRoot = process.getuid?.() === 0;

let dir: string;
let child: ChildProcess;
const sockets: Socket[] = [];
let serial = 0;
const freshId = () => `x${++serial}`;

beforeAll(async () => {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is not built: npm run bootstrap`);
  dir = mkdtempSync(join(tmpdir(), "thaw-agent-"));
  child = spawn(BINARY, ["--socket", join(dir, "s")], { stdio: ["ignore", "ignore", "inherit"] });
  await untilListening(child, join(dir, "s"));
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => {
  child.kill("SIGKILL");
  // What the last programs still write keeps the folder busy for a moment.
  rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

/** A new session; the one before is over for the agent. */
async function open(): Promise<{ agent: Agent; socket: Socket }> {
  const socket = connect(join(dir, "s"));
  sockets.push(socket);
  return { agent: await Agent.connect(socket, { deadlineMs: 60_000 }), socket };
}

interface Run {
  id: string;
  stream: ExecStream;
  out: Buffer[];
  err: Buffer[];
  exit: Promise<ExitEvent>;
  text(): string;
}

/** Takes output as it comes; `hold` leaves it unacknowledged. */
function watch(id: string, hold = false) {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const exit = Promise.withResolvers<ExitEvent>();
  exit.promise.catch(() => {});
  let stream: ExecStream | undefined;
  let owed: [1 | 2, number][] = [];
  const settle = () => {
    if (!stream || hold) return;
    for (const [channel, bytes] of owed) stream.stream.consume(channel, bytes);
    owed = [];
  };
  const handlers = {
    onData: (channel: 1 | 2, piece: Buffer) => {
      (channel === 1 ? out : err).push(Buffer.from(piece));
      owed.push([channel, piece.length]);
      settle();
    },
    onEvent: (event: unknown) => {
      const parsed = exitEvent.safeParse(event);
      if (parsed.success) exit.resolve(parsed.data);
    },
    onClose: (error: Error | null) => {
      if (error) exit.reject(error);
    },
  };
  const take = (started: ExecStream): Run => {
    stream = started;
    settle();
    return {
      id,
      stream: started,
      out,
      err,
      exit: exit.promise,
      text: () => Buffer.concat(out).toString("latin1"),
    };
  };
  return { handlers, take };
}

async function start(
  agent: Agent,
  params: Omit<StartParams, "id"> & { id?: string },
  hold = false,
): Promise<Run> {
  const id = params.id ?? freshId();
  const { handlers, take } = watch(id, hold);
  return take(await agent.start({ ...params, id }, handlers));
}

async function sh(
  agent: Agent,
  script: string,
  params: Partial<StartParams> = {},
): Promise<Run & { end: ExitEvent }> {
  const run = await start(agent, { argv: ["sh", "-c", script], ...params });
  return { ...run, end: await run.exit };
}

async function bytesOf(stream: Readable | Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("execs", () => {
  test("streams apart, exit code, offsets", async () => {
    const { agent } = await open();
    const run = await sh(agent, "echo out; echo err >&2; exit 7");
    expect([run.text(), Buffer.concat(run.err).toString()]).toEqual(["out\n", "err\n"]);
    expect(run.end).toMatchObject({ code: 7, signal: null, oom: false, out: 4, err: 4 });
  });

  test("a signal's death; SIGKILL of the whole tree", async () => {
    const { agent } = await open();
    expect((await sh(agent, "kill -SEGV $$")).end).toMatchObject({ code: null, signal: "SIGSEGV" });
    const run = await start(agent, { argv: ["sh", "-c", "sleep 1000 & setsid sleep 1000 & echo up; wait"] });
    while (!run.text().includes("up")) await sleep(5);
    await agent.signal(run.id, "KILL", "tree");
    expect((await run.exit).signal).toBe("SIGKILL");
  });

  test("stdin: bytes, then the end; none without being asked for", async () => {
    const { agent } = await open();
    const run = await start(agent, { argv: ["sha256sum"], stdin: true });
    const bytes = Buffer.alloc(3_000_000, "thaw");
    await run.stream.stream.write(bytes);
    run.stream.stream.end();
    await run.exit;
    expect(run.text().slice(0, 64)).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect((await sh(agent, "wc -c")).text().trim()).toBe("0");
  });

  test("stdin of a program that does not read it: the writer waits, the exit comes, the stream closes", async () => {
    const { agent } = await open();
    const run = await start(agent, { argv: ["sleep", "0.3"], stdin: true });
    const writing = run.stream.stream.write(Buffer.alloc(4 << 20)).then(
      () => "written",
      (error: Error) => error.name,
    );
    expect((await run.exit).code).toBe(0);
    // What comes after the exit is taken and thrown away, or refused with the end of the stream.
    expect(["written", "SessionError"]).toContain(await writing);
    expect(run.stream.stream.isClosed).toBe(true);
  });

  test("a terminal: its size, a new one, its line discipline", async () => {
    const { agent } = await open();
    const run = await start(agent, {
      argv: ["sh", "-c", "stty size; read x; stty size; echo $TERM; tty"],
      tty: { rows: 30, cols: 100 },
      stdin: true,
    });
    while (!run.text().includes("30 100")) await sleep(5);
    await agent.resize(run.id, { rows: 44, cols: 132 });
    await run.stream.stream.write(Buffer.from("go\r"));
    await run.exit;
    expect(run.text()).toMatch(/30 100\r\ngo\r\n44 132\r\nxterm-256color\r\n\/dev\/pts\/\d+/);
    const stopped = await start(agent, { argv: ["cat"], tty: { rows: 1, cols: 1 }, stdin: true });
    await stopped.stream.stream.write(Buffer.from("up\r"));
    // Once from the terminal, once from the program.
    while (!/up[\s\S]*up/.test(stopped.text())) await sleep(5);
    await stopped.stream.stream.write(Buffer.from([3]));
    expect((await stopped.exit).signal).toBe("SIGINT");
    await expect(agent.resize(freshId(), { rows: 1, cols: 1 })).rejects.toMatchObject({ kind: "not-found" });
  });

  test("environment and folder", async () => {
    const { agent } = await open();
    const run = await sh(agent, 'echo "$A"; pwd; echo "$LANG $HOME"', { env: { A: "b c\nd" }, cwd: "/usr" });
    expect(run.text()).toMatch(/^b c\nd\n\/usr\nC\.UTF-8 \/\w*\n$/);
  });

  test.runIf(isRoot)("users by name, number and group", async () => {
    const { agent } = await open();
    expect((await sh(agent, "id -un; id -gn; echo $USER", { user: "nobody" })).text()).toBe(
      "nobody\nnogroup\nnobody\n",
    );
    expect((await sh(agent, "id -u; id -g; id -G", { user: "1234:5678" })).text()).toBe("1234\n5678\n5678\n");
  });

  test.each([
    ["no such program", { argv: ["no-such-program"] }, "not-found"],
    ["no such file", { argv: ["/no/such"] }, "not-found"],
    ["a file that is no program", { argv: ["/etc/passwd"] }, "not-executable"],
    ["a folder", { argv: ["/etc"] }, "not-executable"],
    ["no such user", { argv: ["true"], user: "no-such-user" }, "no-user"],
    ["no such folder", { argv: ["true"], cwd: "/no/such" }, "invalid"],
    ["no program", { argv: [""] }, "invalid"],
    ["a NUL", { argv: ["true", "a\0b"] }, /invalid|io/],
    ["a name with =", { argv: ["true"], env: { "A=B": "c" } }, "invalid"],
    ["a bad id", { argv: ["true"], id: "../x" }, "invalid"],
  ])("%s is refused as such", async (_what, params, kind) => {
    const { agent } = await open();
    await expect(start(agent, params)).rejects.toMatchObject({
      name: "AgentRefusal",
      kind: typeof kind === "string" ? kind : expect.stringMatching(kind),
    });
  });

  test("ends with its program though children hold its streams, and they live on", async () => {
    const { agent } = await open();
    const flag = join(dir, "child-wrote");
    const run = await sh(agent, `(sleep 0.5; echo late; echo late > ${flag}; sleep 100) & echo now`);
    expect(run.text()).toBe("now\n");
    await agent.forget(run.id);
    while (!existsSync(flag)) await sleep(5);
    await agent.ping();
    expect(run.text()).toBe("now\n");
  });

  test("the same id again answers with the first; another start is not made", async () => {
    const { agent } = await open();
    const path = join(dir, "starts");
    const first = await sh(agent, `echo x >> ${path}; echo hello`, { id: freshId() });
    const again = await start(agent, { id: first.id, argv: ["sh", "-c", `echo x >> ${path}`] });
    expect((await again.exit).code).toBe(0);
    expect(again.text()).toBe("hello\n".slice(again.stream.out));
    expect(readFileSync(path, "utf8")).toBe("x\n");
    await agent.forget(first.id);
    await expect(agent.forget(first.id)).rejects.toMatchObject({ kind: "not-found" });
  });

  test("forgetting one that runs is refused", async () => {
    const { agent } = await open();
    const run = await start(agent, { argv: ["sleep", "100"] });
    await expect(agent.forget(run.id)).rejects.toMatchObject({ kind: "refused" });
    await agent.signal(run.id, "TERM");
    expect((await run.exit).signal).toBe("SIGTERM");
  });

  test("a command larger than a frame goes ahead as bytes", async () => {
    const { agent } = await open();
    const run = await start(agent, {
      argv: ["sh", "-c", 'printf %s "$1" | wc -c; echo $X', "sh", "é".repeat(50_000)],
      env: { X: "y=z" },
    });
    expect((await run.exit).code).toBe(0);
    expect(run.text()).toBe("100000\ny=z\n");
    await expect(start(agent, { argv: ["true", "x".repeat(131_072)] })).rejects.toMatchObject({
      kind: "limit",
    });
  });

  test("a request larger than a frame is refused and the next one works", async () => {
    const { agent } = await open();
    await expect(agent.stat(`/${"x".repeat(70_000)}`)).rejects.toMatchObject({ kind: "limit" });
    expect((await sh(agent, "echo fine")).text()).toBe("fine\n");
  });

  test("more in one session than there may be at once: neither side keeps what is over", async () => {
    const { agent, socket } = await open();
    for (let batch = 0; batch < 11; batch++) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const run = await start(agent, { argv: ["/bin/true"] });
          expect((await run.exit).code).toBe(0);
          await agent.forget(run.id);
        }),
      );
    }
    socket.destroy();
    expect((await open()).agent.welcome.execs.length).toBeLessThan(50);
  });
});

describe("a host that goes away and comes back", () => {
  test("output goes on at the offset: nothing lost, nothing twice", async () => {
    const id = freshId();
    const lines = 200_000;
    const expected = Array.from({ length: lines }, (_, n) => `${n + 1}\n`).join("");
    let got = Buffer.alloc(0);
    let ended: ExitEvent | undefined;
    for (let round = 0; !ended; round++) {
      const { agent, socket } = await open();
      const { handlers, take } = watch(id);
      const run = take(
        round === 0
          ? await agent.start({ id, argv: ["seq", "1", String(lines)] }, handlers)
          : await agent.attach({ id, out: got.length, err: 0 }, handlers),
      );
      expect(run.stream.out).toBe(got.length);
      const before = got;
      // Cut off after a while, mid-frame as it comes.
      const cut = 20_000 + round * 77_777;
      while (Buffer.concat(run.out).length < cut) {
        ended = await Promise.race([run.exit.catch(() => undefined), sleep(2).then(() => undefined)]);
        if (ended) break;
      }
      if (!ended) socket.destroy();
      got = Buffer.concat([before, ...run.out]);
    }
    expect(got.length).toBe(expected.length);
    expect(got.toString("latin1") === expected).toBe(true);
    expect(ended).toMatchObject({ code: 0, out: expected.length });
  });

  test("what was received and not dealt with is sent again", async () => {
    const id = freshId();
    const first = await open();
    const held = await start(
      first.agent,
      { id, argv: ["sh", "-c", "printf 0123456789; sleep 0.2; exit 3"] },
      true,
    );
    while (held.text().length < 10) await sleep(5);
    first.socket.destroy();
    const { agent } = await open();
    expect(agent.welcome.execs).toContain(id);
    const { handlers, take } = watch(id);
    const again = take(await agent.attach({ id, out: 4, err: 0 }, handlers));
    expect((await again.exit).code).toBe(3);
    expect(again.text()).toBe("456789");
    await expect(agent.attach({ id, out: 99, err: 0 }, {})).rejects.toMatchObject({ kind: "invalid" });
    await agent.forget(id);
    await expect(agent.attach({ id, out: 0, err: 0 }, {})).rejects.toMatchObject({ kind: "not-found" });
  });

  test("a full ring holds the program until somebody takes the output", async () => {
    const first = await open();
    const progress = join(dir, "progress");
    const shell = join(dir, "shell");
    const script = `echo $$ > ${shell}; i=0; while [ $i -lt 64 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i >> ${progress}; done`;
    const held = await start(first.agent, { argv: ["sh", "-c", script] }, true);
    const steps = () => (existsSync(progress) ? readFileSync(progress, "utf8").split("\n").length - 1 : 0);
    // The same one sleeps at two looks: only a full pipe makes it sleep.
    const writer = () =>
      spawnSync("ps", ["-o", "pid=,s=,comm=", "--ppid", readFileSync(shell, "utf8").trim()], {
        encoding: "utf8",
      }).stdout.trim();
    const isHeld = async (): Promise<boolean> => {
      if (steps() < 14) return false;
      const before = writer();
      if (!/ S head$/.test(before)) return false;
      await sleep(1000);
      return writer() === before;
    };
    await until(isHeld, "the program to be held");
    const stuck = steps();
    // The ring, and a pipe of at most as much.
    expect(stuck).toBeLessThan(36);
    first.socket.destroy();
    await sleep(200);
    expect(steps()).toBe(stuck);
    const { agent } = await open();
    const { handlers, take } = watch(held.id);
    const rest = take(await agent.attach({ id: held.id, out: 0, err: 0 }, handlers));
    expect((await rest.exit).out).toBe(64 * 65_536);
    expect(Buffer.concat(rest.out).length).toBe(64 * 65_536);
    expect(EXEC_WINDOW_BYTES).toBe(1 << 20);
  });

  test("stdin goes on from what the program was given", async () => {
    const id = freshId();
    const first = await open();
    const run = await start(first.agent, { id, argv: ["cat"], stdin: true });
    await run.stream.stream.write(Buffer.from("hello "));
    while (run.text() !== "hello ") await sleep(5);
    first.socket.destroy();
    const { agent } = await open();
    const { handlers, take } = watch(id);
    const again = take(await agent.attach({ id, out: 6, err: 0 }, handlers));
    expect(again.stream.in).toBe(6);
    await again.stream.stream.write(Buffer.from("world"));
    again.stream.stream.end();
    await again.exit;
    expect(again.text()).toBe("world");
  });

  test("streams of the old session are over; its listener is free again", async () => {
    const first = await open();
    const { port } = await first.agent.listen(0);
    first.socket.destroy();
    const { agent } = await open();
    const again = await agent.listen(port);
    expect(again.port).toBe(port);
    again.close();
  });
});

describe("files", () => {
  test("written and read back, with their mode; a folder, a missing one", async () => {
    const { agent } = await open();
    const path = join(dir, "file");
    const bytes = Buffer.alloc(2_500_000, "abc");
    await agent.writeFile(
      path,
      Readable.from([bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)]),
      0o640,
    );
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(statSync(path).mode & 0o7777).toBe(0o640);
    expect(await agent.stat(path)).toMatchObject({ type: "file", size: bytes.length, mode: 0o640 });
    const { size, body } = await agent.readFile(path);
    expect([size, (await bytesOf(body)).equals(bytes)]).toEqual([bytes.length, true]);
    await expect(agent.readFile(join(dir, "none"))).rejects.toMatchObject({ kind: "not-found" });
    await expect(agent.readFile(dir)).rejects.toMatchObject({ name: "AgentRefusal" });
    await expect(agent.writeFile(join(dir, "none/x"), Readable.from([bytes]))).rejects.toMatchObject({
      kind: "not-found",
    });
    await expect(agent.stat(join(dir, "none"))).rejects.toMatchObject({ kind: "not-found" });
  });

  test("a reader that stops holds the agent within its window, and may leave", async () => {
    const { agent } = await open();
    const path = join(dir, "large");
    writeFileSync(path, "");
    truncateSync(path, 1 << 30);
    const before = process.memoryUsage().rss;
    const { body } = await agent.readFile(path);
    await sleep(500);
    expect(body.readableLength).toBeLessThan(1 << 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20);
    body.destroy();
    await agent.ping();
  });

  test("a listing, cut where asked", async () => {
    const { agent } = await open();
    const folder = join(dir, "many");
    mkdirSync(folder);
    for (let n = 0; n < 30; n++) writeFileSync(join(folder, `f${n}`), "");
    symlinkSync("f1", join(folder, "link"));
    const all = await agent.list(folder);
    expect([all.entries.length, all.truncated]).toEqual([31, false]);
    expect(all.entries.find(({ path }) => path.endsWith("link"))).toMatchObject({
      type: "symlink",
      target: "f1",
    });
    const some = await agent.list(folder, 10);
    expect([some.entries.length, some.truncated]).toEqual([10, true]);
  });

  test("a tree in and out again is the same", async () => {
    const { agent } = await open();
    const from = join(dir, "from");
    mkdirSync(join(from, "a/b"), { recursive: true });
    writeFileSync(join(from, "a/one"), "1".repeat(300_000), { mode: 0o755 });
    writeFileSync(join(from, "a/b/empty"), "");
    writeFileSync(Buffer.concat([Buffer.from(`${from}/`), Buffer.from([0x6e, 0xff, 0x0a])]), "odd");
    writeFileSync(join(from, "sparse"), "end");
    truncateSync(join(from, "sparse"), 50 << 20);
    symlinkSync("a/one", join(from, "link"));
    utimesSync(join(from, "a/one"), 1_000_000_000.5, 1_000_000_000.5);
    const inside = join(dir, "inside");
    const done = await agent.treeIn(inside, Readable.from(packTree(walkFolder(new SourceFolder(from)))));
    expect(done.entries).toBe(7);
    expect(statSync(join(inside, "sparse"))).toMatchObject({ size: 50 << 20 });
    expect(statSync(join(inside, "sparse")).blocks * 512).toBeLessThan(1 << 20);
    const back = join(dir, "back");
    const result = await unpackTree(await agent.treeOut(inside, true), back);
    expect(result.skipped).toEqual([]);
    expect(readFileSync(join(back, "a/one"), "utf8")).toBe("1".repeat(300_000));
    expect(lstatSync(join(back, "a/one"))).toMatchObject({ mtimeMs: 1_000_000_000_500 });
    expect(lstatSync(join(back, "a/one")).mode & 0o777).toBe(0o755);
    expect(readlinkSync(join(back, "link"))).toBe("a/one");
    expect(
      readFileSync(Buffer.concat([Buffer.from(`${back}/`), Buffer.from([0x6e, 0xff, 0x0a])]), "utf8"),
    ).toBe("odd");
    expect(statSync(join(back, "sparse"))).toMatchObject({ size: 50 << 20 });
    expect(statSync(join(back, "sparse")).blocks * 512).toBeLessThan(1 << 20);
  });

  test("a tree that is no tree is refused, and nothing is written outside", async () => {
    const { agent } = await open();
    await expect(
      agent.treeIn(join(dir, "bad"), Readable.from([Buffer.from([9, 9, 9])])),
    ).rejects.toMatchObject({ name: "AgentRefusal" });
    const record = Buffer.alloc(27 + 11);
    record[0] = 2;
    record.writeUInt16LE(11, 25);
    record.write("../escapes!", 27);
    await expect(
      agent.treeIn(join(dir, "bad"), Readable.from([record, Buffer.alloc(32)])),
    ).rejects.toMatchObject({ name: "AgentRefusal" });
    expect(existsSync(join(dir, "escapes!"))).toBe(false);
    await agent.ping();
  });
});

describe("connections", () => {
  test("dial: bytes both ways, half-close; refused; a unix socket", async () => {
    const { agent } = await open();
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    const { port } = echo.address() as { port: number };
    const connection = await agent.dial({ port });
    const bytes = Buffer.alloc(3_000_000, "echo");
    connection.end(bytes);
    expect((await bytesOf(connection)).equals(bytes)).toBe(true);
    await new Promise((resolve) => echo.close(resolve));
    await expect(agent.dial({ port })).rejects.toMatchObject({ kind: "refused" });
    const path = join(dir, "echo.sock");
    const local = createServer((socket) => socket.end("hi"));
    await new Promise<void>((resolve) => local.listen(path, resolve));
    expect(String(await bytesOf(await agent.dial({ path })))).toBe("hi");
    local.close();
    await expect(agent.dial({ path: join(dir, "none.sock") })).rejects.toMatchObject({
      kind: expect.stringMatching(/refused|not-found/),
    });
  });

  test("listen: each connection becomes a stream, until it is closed", async () => {
    const { agent } = await open();
    const listener = await agent.listen(0);
    const seen: number[] = [];
    agent.session.offers.onAccepted = (id, stream) => {
      seen.push(id);
      const connection = duplexOf(stream).on("error", () => {});
      void bytesOf(connection).then((bytes) => connection.end(String(bytes).toUpperCase()));
    };
    const talk = async (text: string) => {
      const socket = connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
      socket.end(text);
      return String(await bytesOf(socket));
    };
    expect(await Promise.all(["one", "two", "three"].map(talk))).toEqual(["ONE", "TWO", "THREE"]);
    expect(seen).toEqual([listener.listener, listener.listener, listener.listener]);
    await expect(agent.listen(listener.port)).rejects.toMatchObject({ name: "AgentRefusal" });
    listener.close();
    await agent.ping();
    await expect(talk("late")).rejects.toThrow(/ECONNREFUSED/);
  });

  test("a listener nobody answers for: its connections are reset", async () => {
    const { agent } = await open();
    const { port } = await agent.listen(0);
    const socket = connect({ port, host: "127.0.0.1" });
    await expect(bytesOf(socket)).rejects.toThrow(/ECONNRESET/);
  });
});
