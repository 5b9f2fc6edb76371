/** The command line as a process, against a real socket that a test answers. */
import { execFile, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { complete } from "../../cli/completion/complete.ts";
import { verbs } from "../../cli/verbs.ts";
import { rotateLog } from "../../daemon/rotate-log.ts";
import { sampleSandbox, sendJson, startServer, type TestScript, type TestServer } from "./client-server.ts";

const main = join(import.meta.dirname, "../../cli/main.ts");

interface Ended {
  code: number;
  out: string;
  err: string;
}

function environment(server: TestServer): NodeJS.ProcessEnv {
  return {
    ...process.env,
    THAW_HOME: join(server.folder, "home"),
    THAW_SOCKET: server.socket,
    THAW_CONFIG: join(server.folder, "config"),
    CI: "1",
  };
}

function thaw(server: TestServer, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: environment(server) }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

const answers: TestScript = {
  http: (request, response) => {
    if (request.url === "/v1/sandboxes") sendJson(response, 200, { sandboxes: [sampleSandbox] });
    else if (request.url === "/v1/snapshots/base") sendJson(response, 200, {});
    else
      sendJson(response, 404, {
        error: { code: "not-found", message: "no such\u001b[2J thing", hint: "thaw ls" },
      });
  },
  peer: async (peer) => {
    await peer.until(() => peer.control.length > 0);
    peer.say({
      type: "progress",
      subject: "base",
      phase: "boot",
      state: "done",
      elapsedMs: 4400,
      detail: "kvm",
    });
    peer.start();
    peer.write(1, Buffer.from([0x6f, 0x1b, 0xff, 0x0a]));
    peer.write(2, "err\n");
    peer.finish(7);
  },
};

test("run: output apart and unaltered, progress on stderr, the command's exit code", async () => {
  await using server = await startServer(answers);
  const { code, out, err } = await thaw(server, "run", "--verbose", "--", "sh", "-c", "x");
  expect(code).toBe(7);
  expect(out).toBe(Buffer.from([0x6f, 0x1b, 0xff, 0x0a]).toString("utf8"));
  expect(err).toMatch(/^ ✓ base {2}boot +4\.4s {2}kvm\nerr\nthaw 92 ms · exec 61 ms · exit 7\n$/);
  expect(server.peers[0]?.control[0]).toMatchObject({ exec: { argv: ["sh", "-c", "x"] } });
});

test("run: a signal goes to the guest; a second Ctrl-C gives up", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      peer.write(1, "ready\n");
    },
  };
  await using server = await startServer(script);
  const child = spawn(process.execPath, [main, "run", "--", "sleep", "9"], {
    env: environment(server),
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const signals = (): string[] =>
    (server.peers[0]?.control ?? []).flatMap((message) =>
      "type" in message && message.type === "signal" ? [message.signal] : [],
    );
  child.kill("SIGTERM");
  await server.peers[0]?.until(() => signals().includes("TERM"));
  child.kill("SIGINT");
  await server.peers[0]?.until(() => signals().includes("INT"));
  child.kill("SIGINT");
  expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(130);
});

test("run: a reader that goes away ends it quietly", async () => {
  const script: TestScript = {
    peer: async (peer) => {
      await peer.until(() => peer.control.length > 0);
      peer.start();
      for (let i = 0; i < 100; i++) peer.write(1, Buffer.alloc(65_536, 121));
    },
  };
  await using server = await startServer(script);
  const child = spawn(process.execPath, [main, "run", "--", "yes"], {
    env: environment(server),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  child.stdout.once("data", () => child.stdout.destroy());
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(141);
  expect(said).toEqual([]);
});

test("ls and its JSON", async () => {
  await using server = await startServer(answers);
  const table = await thaw(server, "ls");
  expect(table.out.split("\n")[0]).toMatch(/^NAME +STATE/);
  expect(JSON.parse((await thaw(server, "ls", "--json")).out)).toEqual([sampleSandbox]);
});

test("errors: message and hint, cleaned; JSON when asked for; the right exit code", async () => {
  await using server = await startServer(answers);
  expect(await thaw(server, "rm", "x")).toEqual({
    code: 2,
    out: "",
    err: "thaw: no such[2J thing\nhint: thaw ls\n",
  });
  const json = await thaw(server, "snapshot", "inspect", "x", "--json");
  expect(JSON.parse(json.err).error.code).toBe("not-found");
  expect(await thaw(server, "rnu")).toMatchObject({ code: 2, err: expect.stringContaining("run") });
  expect(await thaw(server, "run", "--timout", "1s", "--", "x")).toMatchObject({
    code: 2,
    err: expect.stringContaining("--timeout"),
  });
  expect(await thaw(server, "run", "--memory", "1X", "--", "x")).toMatchObject({
    code: 2,
    err: expect.stringContaining("512M"),
  });
  expect(await thaw(server, "run", "--workspace", "/nowhere", "--", "x")).toMatchObject({ code: 2 });
  expect(server.peers).toEqual([]);
});

test("doctor says why the daemon can't be asked", async () => {
  await using server = await startServer({});
  mkdirSync(join(server.folder, "blocked"));
  writeFileSync(join(server.folder, "blocked/file"), "");
  const env = {
    ...environment(server),
    THAW_HOME: join(server.folder, "blocked/file/home"),
    THAW_SOCKET: join(server.folder, "no.sock"),
  };
  const { code, out } = await new Promise<{ code: number; out: string }>((resolve) => {
    execFile(process.execPath, [main, "doctor"], { env }, (error, out) =>
      resolve({ code: Number(error?.code ?? 0), out }),
    );
  });
  expect(code).toBe(1);
  expect(out).toMatch(/✗ daemon .*blocked\/file\/home/);
  expect(out).toMatch(/→ set THAW_HOME/);
});

test("every verb has help with an example", async () => {
  await using server = await startServer({});
  const shown = Object.entries(verbs).filter(([, verb]) => verb.hidden !== true);
  const helps = await Promise.all(shown.map(([name]) => thaw(server, name, "--help")));
  for (const { code, out } of helps) {
    expect(code).toBe(0);
    expect(out).toMatch(/Examples?:\n {2}\$ thaw /);
    expect(out).not.toContain("\u001b");
  }
});

test("words are completed", async () => {
  expect(await complete(["sn"])).toEqual(["snapshot"]);
  expect(await complete(["snapshot", "v"])).toEqual(["verify"]);
  expect(await complete(["run", "--te"])).toEqual(["--template"]);
  expect(await complete(["snapshot", "ls", "--j"])).toEqual(["--json"]);
  expect(await complete(["completion", "z"])).toEqual(["zsh"]);
  expect(await complete(["run", "--", "l"])).toEqual([]);
});

/** Starts a command whose streams the test reads itself. */
function start(server: TestServer, ...args: string[]) {
  const child = spawn(process.execPath, [main, ...args], { env: environment(server) });
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk;
  });
  const ended = new Promise<Ended>((resolve) =>
    child.once("close", (code) => resolve({ code: code ?? -1, out: "", err })),
  );
  return { child, ended };
}

test.each([["events"], ["events", "--json"], ["ls", "--json"]])(
  "a reader that goes away ends %s %s quietly with 141",
  async (...args) => {
    const event = { id: 1, time: new Date().toISOString(), type: "daemon.started", target: "d", name: "d" };
    const data = JSON.stringify({ ...event, sandbox: null, details: { reason: "x".repeat(4000) } });
    await using server = await startServer({
      http: (request, response) => {
        if (!request.url?.startsWith("/v1/events"))
          return sendJson(response, 200, { sandboxes: Array(3000).fill(sampleSandbox), entries: [] });
        response.writeHead(200, { "content-type": "text/event-stream" });
        for (let n = 0; n < 2000; n++) response.write(`id: ${n}\ndata: ${data}\n\n`);
        response.end();
      },
    });
    const { child, ended } = start(server, ...args);
    child.stdout.once("data", () => child.stdout.destroy());
    expect(await ended).toEqual({ code: 141, out: "", err: "" });
  },
);

test.each([
  ["rerun", "latest"],
  ["replay", "latest", "--core", "core-file"],
])("Ctrl-C ends %s %s with 130", async (...args) => {
  const asked = Promise.withResolvers<void>();
  await using server = await startServer({
    http: (request, response) => {
      if (request.url === "/v1/captures/latest") return sendJson(response, 200, { id: "fail-abcd" });
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.write("\n");
      asked.resolve();
    },
  });
  const { child, ended } = start(server, ...args);
  await asked.promise;
  child.kill("SIGINT");
  expect((await ended).code).toBe(130);
});

test("cp of a capture whose file breaks off leaves nothing", async () => {
  const file = { name: "f", type: "file", size: 8, mode: 0o644 };
  await using server = await startServer({
    http: (request, response) => {
      const { pathname } = new URL(request.url ?? "", "http://thaw");
      if (pathname.endsWith("/list"))
        sendJson(response, 200, { level: "files", why: null, entry: file, entries: [] });
      else if (pathname.endsWith("/files")) response.writeHead(200).write("half", () => response.destroy());
      else sendJson(response, 200, { id: "fail-abcd", disk: { writtenOut: true } });
    },
  });
  const out = join(server.folder, "out");
  mkdirSync(out);
  const { code, err } = await thaw(server, "cp", "latest:/f", out);
  expect([code === 0, readdirSync(out)], err).toEqual([false, []]);
});

test("daemon logs -f goes on with a log that is moved away", async () => {
  await using server = await startServer({});
  const home = join(server.folder, "home");
  mkdirSync(home, { recursive: true });
  const log = openSync(join(home, "daemon.log"), "a");
  writeSync(log, "before\n");
  const { child, ended } = start(server, "daemon", "logs", "-f");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  expect(await next()).toBe("before");
  writeSync(log, "the last of the old one\n");
  expect(await next()).toBe("the last of the old one");
  rotateLog(log, 1);
  writeSync(log, "new\n");
  expect(await next()).toBe("new");
  writeSync(log, "newer\n");
  expect(await next()).toBe("newer");
  child.kill("SIGINT");
  await ended;
  closeSync(log);
});

test("daemon logs --json prints objects, also of lines that the daemon did not write", async () => {
  await using server = await startServer({});
  const home = join(server.folder, "home");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "daemon.log"), '{"level":"info","msg":"ready"}\n{"level":"in\n[1]\n\u001b[2J\n');
  const { code, out } = await thaw(server, "daemon", "logs", "--json");
  expect(code).toBe(0);
  expect(
    out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { level: "info", msg: "ready" },
    ...['{"level":"in', "[1]", "\u001b[2J"].map((msg) => ({ msg })),
  ]);
  expect(out).not.toContain("\u001b");
});

test("completion knows the values of a flag that takes one of a few, and leaves others to files", async () => {
  expect(await complete(["capture", "ls", "--trigger", "p"])).toEqual(["panic"]);
  expect(await complete(["run", "--network", ""])).toEqual(["audit", "none", "open"]);
  expect(await complete(["logs", "--since", ""])).toEqual([]);
});
