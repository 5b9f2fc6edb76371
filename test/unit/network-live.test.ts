/** The way out, against the real agent in a network namespace of its own and real servers on this host. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { NetworkLayer } from "../../api/network.ts";
import { Egress } from "../../engine/network/egress.ts";
import { BURST_LINES, LINES_PER_SECOND, NetworkLog } from "../../engine/network/log.ts";
import { EffectivePolicy, extended, noNetwork } from "../../engine/network/policy.ts";
import { upstreamOf } from "../../engine/network/upstream.ts";
import { trustAuthorities } from "../../engine/sandboxes/authorities.ts";
import { SandboxNetwork } from "../../engine/sandboxes/network.ts";
import type { SandboxRecord } from "../../engine/sandboxes/record.ts";
import { runGuestStep } from "../../engine/templates/guest-step.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { untilListening } from "../helpers/listening.ts";

const BINARY = "guest/target/x86_64-unknown-linux-gnu/release/thaw-agent";
const isRoot = process.getuid?.() === 0;
const hasKeytool = spawnSync("keytool", ["-help"]).error === undefined;
/** Nobody else's on this host: tests run side by side. */
const ADDRESS = `127.${process.pid % 250}.${(process.pid >> 8) % 250}.80`;

let dir: string;
let child: ChildProcess;
let agent: Agent;
let log: NetworkLog;
let egress: Egress;
let names: Record<string, string[]>;
const servers: Server[] = [];
const sockets = new Set<Socket>();

beforeAll(async () => {
  if (!isRoot) return;
  dir = mkdtempSync(join(tmpdir(), "thaw-network-"));
  child = spawn("unshare", ["--net", "--", BINARY, "--socket", join(dir, "s"), "--network"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await untilListening(child, join(dir, "s"));
  execFileSync(
    "openssl",
    [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=web.test -keyout".split(
        " ",
      ),
      ...[join(dir, "key.pem"), "-out", join(dir, "cert.pem")],
    ],
    { stdio: "ignore" },
  );
});
beforeEach(async () => {
  agent = await Agent.connect(connect(join(dir, "s")), { deadlineMs: 60_000 });
  rmSync(join(dir, "network.jsonl"), { force: true });
  log = new NetworkLog(dir);
  names = {};
  egress = new Egress({ policy: policyOf({}), log, resolve, firstBytesMs: 500 });
  egress.serve(agent);
});
afterEach(() => {
  agent.close();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});
afterAll(() => {
  child?.kill("SIGKILL");
  if (isRoot) rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

function policyOf(request: NetworkLayer, maximum?: NetworkLayer): EffectivePolicy {
  return new EffectivePolicy(
    extended(noNetwork(), request, "command line"),
    maximum ? extended(noNetwork(), maximum, "config.yaml") : null,
  );
}

async function resolve(name: string): Promise<string[]> {
  const found = names[name];
  if (!found) throw new Error(`the host finds no address of ${name}`);
  return found;
}

/** Everything that `allow` names, and this test's addresses on the loopback. */
function allow(...rules: string[]): void {
  egress.setPolicy(policyOf({ allow: [...rules, "127.0.0.0/8:*"] }));
}

async function listening<S extends Server>(server: S, port = 0, address = ADDRESS): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((done) => server.listen(port, address, done));
  return (server.address() as { port: number }).port;
}

const http = (handler: RequestListener, port = 0) => listening(createHttp(handler), port);
const tls = (handler: RequestListener) =>
  listening(
    createHttps(
      { key: readFileSync(join(dir, "key.pem")), cert: readFileSync(join(dir, "cert.pem")) },
      handler,
    ),
  );
const tcp = (onConnection: (socket: Socket) => void) =>
  listening(createServer({ allowHalfOpen: true }, onConnection));

/** Runs a shell script in the namespace. */
async function run(script: string): Promise<{ text: string; code: number }> {
  const lines: string[] = [];
  await runGuestStep(
    agent,
    { name: "test", run: `{ ${script}\n} 2>&1 || code=$?; echo; echo "code \${code:-0}"`, env: {} },
    (line) => lines.push(line),
  );
  const code = Number(lines.pop()?.replace("code ", ""));
  return { text: lines.join("\n"), code };
}
const node = (script: string) => run(`'${process.execPath}' -e '${script}'`);

describe.runIf(isRoot)("connections by name", () => {
  test("HTTP: requests, kept connections, uploads in pieces, answers as they are", async () => {
    const port = await http((message, response) => {
      let bytes = 0;
      message.on("data", (chunk: Buffer) => (bytes += chunk.length));
      message.on("end", () =>
        response
          .setHeader("X-Mixed-Case", "1")
          .end(`${message.method} ${message.url} ${message.headers.host} ${bytes}\n`),
      );
    });
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const url = `http://web.test:${port}`;
    const { text, code } = await run(
      `head -c 3000000 /dev/zero | curl -sS -T - -H "Expect: 100-continue" ${url}/up; curl -sSi ${url}/a ${url}/b`,
    );
    expect(code).toBe(0);
    expect(text).toContain(`PUT /up web.test:${port} 3000000`);
    expect(text).toContain("X-Mixed-Case: 1");
    expect(text).toContain(`GET /b web.test:${port} 0`);
    await expect
      .poll(() => log.entries.at(-1))
      .toMatchObject({
        ...{
          name: "web.test",
          port,
          protocol: "http",
          verdict: "allowed",
          rule: `web.test:${port}`,
          process: "curl",
          uid: 0,
        },
        address: ADDRESS,
      });
    expect(log.entries.at(-1)?.exec).toMatch(/^step-/);
    expect(log.entries.at(-1)?.received).toBeGreaterThan(100);
  });

  test("HTTP for another name, or that can be read in two ways, goes no further", async () => {
    let served = 0;
    const port = await http((_message, response) => {
      served += 1;
      response.end("secret");
    });
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const host = await run(`curl -sS -H "Host: other.test" http://web.test:${port}/`);
    expect(host.text).toContain("a request for Host other.test within a connection to web.test");
    const proxied = await run(`curl -sS -x http://web.test:${port} http://other.test/`);
    expect(proxied.text).toContain("within a connection to web.test");
    const connected = await run(`curl -sS -p -x http://web.test:${port} http://other.test/`);
    expect(connected.text).toMatch(/403|response/);
    const bash = (request: string) =>
      run(`bash -c 'exec 3<>/dev/tcp/web.test/${port}; printf "${request}" >&3; timeout 5 cat <&3'`).then(
        ({ text }) => text,
      );
    const both = `POST / HTTP/1.1\\r\\nHost: web.test:${port}\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n`;
    expect(await bash(both)).toContain("400 Bad Request");
    expect(
      await bash(`GET / HTTP/1.1\\r\\nHost: web.test:${port}\\r\\nHost: other.test\\r\\n\\r\\n`),
    ).toMatch(/40[03]/);
    expect(await bash(`\\r\\nGET / HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n`)).toContain("403");
    const absolute = (url: string) => `GET ${url} HTTP/1.1\\r\\nHost: web.test:${port}\\r\\n\\r\\n`;
    expect(await bash(absolute(`http://web.test:${port}@other.test/`))).toContain("403");
    expect(await bash(absolute("https://web.test/"))).toContain("403");
    expect(await bash(` GET / HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n`)).toMatch(/40[03]|^$/);
    expect(await bash(`GET\\t/${"a".repeat(40)}\\tHTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n`)).toContain(
      "400",
    );
    expect(await bash(`PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n`)).not.toContain("secret");
    expect(served).toBe(0);
    await expect
      .poll(() => log.summary.filter(({ verdict }) => verdict === "denied").length)
      .toBeGreaterThan(0);
  });

  test("a request is never hidden in the body of another, or behind an upgrade that the server does not make", async () => {
    const seen: string[] = [];
    const server = createHttp((message, response) => {
      let body = "";
      message.on("data", (chunk: Buffer) => (body += chunk));
      message.on("end", () => {
        seen.push(`${message.method} ${message.headers.host?.split(":")[0]} ${body.length}`);
        response.end("served");
      });
    });
    // An ordinary server: it knows no upgrade and goes on with the next request.
    const port = await listening(server);
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const send = (...requests: string[]) => {
      const hex = requests.map((text) => Buffer.from(text).toString("hex"));
      return node(
        `const s = require("net").connect(${port}, "web.test"); for (const r of ${JSON.stringify(hex)}) s.write(Buffer.from(r, "hex")); s.on("data", (d) => process.stdout.write(d)).on("error", () => {}); setTimeout(() => s.destroy(), 800)`,
      );
    };
    const hidden = "GET /hidden HTTP/1.1\r\nHost: other.test\r\n\r\n";
    const head = `Host: web.test:${port}\r\n`;
    await send(
      `GET / HTTP/1.1\r\n${head}Connection: content-length\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    );
    await send(
      `DELETE / HTTP/1.1\r\n${head}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    );
    for (const protocol of ["websocket", "h2c", "TLS/1.0, HTTP/1.1", "other"])
      await send(`GET / HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`, hidden);
    expect(seen).toEqual([
      `GET web.test ${hidden.length}`,
      `DELETE web.test ${hidden.length}`,
      ...Array.from({ length: 4 }, () => "GET web.test 0"),
    ]);
  });

  test("a WebSocket: bytes both ways once the server has agreed, and its answer when it does not", async () => {
    const server = createHttp((_message, response) =>
      response.writeHead(426, { "X-Why": "no" }).end("not here"),
    );
    server.on("upgrade", (message, socket, first) => {
      if (message.url !== "/ws")
        return void socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi ",
      );
      if (first.length > 0) socket.write(first);
      socket.pipe(socket);
    });
    const port = await listening(server);
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const ask = (path: string) =>
      node(
        `const q = require("http").request("http://web.test:${port}${path}", { headers: { Connection: "Upgrade", Upgrade: "websocket" } }); q.on("upgrade", (a, s, h) => { process.stdout.write(a.statusCode + " " + h); s.on("data", (d) => process.stdout.write(d)).on("end", () => s.end()); s.end("there"); }).on("response", (a) => { process.stdout.write(a.statusCode + " "); a.pipe(process.stdout); }).end()`,
      );
    expect((await ask("/ws")).text).toContain("101 hi there");
    expect((await ask("/none")).text).toContain("404 none");
  });

  test("a hello or a request that trickles ends in time, byte after byte or not", async () => {
    let served = 0;
    const port = await http((_message, response) => {
      served += 1;
      response.end();
    });
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const trickle = (text: Buffer) =>
      node(
        `const b = Buffer.from("${text.toString("hex")}", "hex"), s = require("net").connect(${port}, "web.test"); let at = 0; const t = setInterval(() => s.write(b.subarray(at, ++at)), 100); s.on("error", () => {}).on("close", () => { clearInterval(t); console.log("closed after " + at); })`,
      );
    const begun = Buffer.from(`GET / HTTP/1.1\r\nHost: web.test:${port}\r\nA: ${"a".repeat(400)}`);
    for (const text of [begun, Buffer.concat([Buffer.from("160301ffff01", "hex"), Buffer.alloc(400)])]) {
      const { text: told } = await trickle(text);
      expect(Number(/closed after (\d+)/.exec(told)?.[1])).toBeLessThan(400);
      await expect.poll(() => log.entries.at(-1)?.reason).toContain("did not come within 0.5 s");
    }
    expect(served).toBe(0);
  });

  test("TLS: the name in the hello must be the name that was allowed", async () => {
    const port = await tls((_message, response) => response.end("over TLS"));
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    expect((await run(`curl -sSk https://web.test:${port}/`)).text).toContain("over TLS");
    await expect.poll(() => log.entries.at(-1)).toMatchObject({ protocol: "tls", verdict: "allowed" });
    const other = await run(`curl -sSk -m 20 --connect-to ::web.test: https://other.test:${port}/`);
    expect(other.code).not.toBe(0);
    await expect
      .poll(() => log.entries.at(-1)?.reason)
      .toContain("TLS for other.test within a connection to web.test");
    const none = await run(`curl -sSk -m 20 --connect-to ::web.test: https://${ADDRESS}:${port}/`);
    expect(none.code).not.toBe(0);
    await expect.poll(() => log.entries.at(-1)?.reason).toContain("TLS for no name");
  });

  test("a server that speaks first, half-closed both ways", async () => {
    const port = await tcp((socket) => {
      socket.write("hello\n");
      let text = "";
      socket.on("data", (chunk) => (text += chunk));
      socket.on("end", () => socket.end(`got ${text.length}`));
    });
    names["db.test"] = [ADDRESS];
    allow(`db.test:${port}`);
    const { text } = await node(
      `const s = require("net").connect({ port: ${port}, host: "db.test", allowHalfOpen: true }); s.once("data", () => s.end("x".repeat(700000))); s.pipe(process.stdout)`,
    );
    expect(text).toContain("got 700000");
    await expect
      .poll(() => log.entries.at(-1))
      .toMatchObject({ sent: 700_000, protocol: "tcp", verdict: "allowed" });
  });

  test("resets are passed on, both ways", async () => {
    const seen = Promise.withResolvers<string>();
    let count = 0;
    const port = await tcp((socket) => {
      count += 1;
      if (count === 1) return void socket.resetAndDestroy();
      socket.write("go");
      socket.on("error", (error: NodeJS.ErrnoException) => seen.resolve(error.code ?? ""));
      socket.on("close", () => seen.resolve("closed"));
    });
    names["db.test"] = [ADDRESS];
    allow(`db.test:${port}`);
    const first = await node(
      `require("net").connect(${port}, "db.test").on("error", (e) => console.log(e.code))`,
    );
    expect(first.text).toContain("ECONNRESET");
    await node(
      `const s = require("net").connect(${port}, "db.test"); s.once("data", () => s.resetAndDestroy())`,
    );
    expect(await seen.promise).toMatch(/ECONNRESET|closed/);
  });

  test("one address of many answers; an address that is closed is not dialled", async () => {
    const port = await tcp((socket) => socket.end("alive"));
    names["many.test"] = [...Array.from({ length: 49 }, (_, index) => `127.1.1.${index + 1}`), ADDRESS];
    names["inner.test"] = [ADDRESS];
    names["gone.test"] = ["127.1.1.1"];
    allow(`many.test:${port}`, `gone.test:${port}`);
    const read = (name: string) =>
      node(
        `require("net").connect(${port}, "${name}").on("error", (e) => console.log(e.code)).pipe(process.stdout)`,
      );
    expect((await read("many.test")).text).toContain("alive");
    expect((await read("gone.test")).text).toContain("ECONNRESET");
    await expect
      .poll(() => log.entries.at(-1))
      .toMatchObject({ verdict: "failed", reason: expect.stringContaining("ECONNREFUSED") });
    egress.setPolicy(policyOf({ allow: [`inner.test:${port}`, `none.test:${port}`] }));
    expect((await read("inner.test")).text).toContain("ECONNRESET");
    await expect
      .poll(() => log.entries.at(-1))
      .toMatchObject({
        verdict: "denied",
        reason: expect.stringContaining(
          `inner.test leads to ${ADDRESS} is closed (loopback); open it with --allow ${ADDRESS}:${port}`,
        ),
      });
    expect((await read("none.test")).text).toContain("ECONNRESET");
    await expect.poll(() => log.entries.at(-1)?.reason).toBe("the host finds no address of none.test");
  });

  test("a service on the host's loopback, by its reserved name", async () => {
    const port = await listening(
      createServer((socket) => socket.end("from the host")),
      0,
      "127.0.0.1",
    );
    egress.setPolicy(policyOf({ allow: [`host:${port}`] }));
    const { text } = await node(`require("net").connect(${port}, "host.thaw.internal").pipe(process.stdout)`);
    expect(text).toContain("from the host");
    const literal = await node(
      `require("net").connect(${port}, "192.0.2.77").on("error", (e) => console.log(e.code))`,
    );
    expect(literal.text).toContain("ECONNRESET");
  });
});

describe.runIf(isRoot)("through the host's own proxy", () => {
  const seen: string[] = [];
  let proxy = 0;
  /** It resolves names by itself, to this test's address. */
  const start = async (): Promise<void> => {
    seen.length = 0;
    const server = createHttp((message, response) => {
      seen.push(`${message.method} ${message.url} ${message.headers["proxy-authorization"] ?? ""}`);
      response.end("by the proxy\n");
    });
    server.on("connect", (message, socket, head) => {
      const { url = "" } = message;
      seen.push(`CONNECT ${url} ${message.headers["proxy-authorization"] ?? ""}`);
      const port = Number(url.split(":").at(-1));
      if (url.startsWith("no.test")) return void socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      const upstream = connect({ port, host: ADDRESS, allowHalfOpen: true }, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      upstream.on("error", () => socket.destroy());
    });
    proxy = await listening(server);
    const env = {
      HTTPS_PROXY: `http://me:a%20b@${ADDRESS}:${proxy}`,
      HTTP_PROXY: `${ADDRESS}:${proxy}`,
      NO_PROXY: "direct.test,10.0.0.0/8",
    };
    const upstream = () => upstreamOf({ env });
    egress = new Egress({ policy: policyOf({}), log, resolve, upstream, firstBytesMs: 500 });
    egress.serve(agent);
  };
  const who = `Basic ${Buffer.from("me:a b").toString("base64")}`;

  test("names that rules list are the proxy's to resolve; without it what NO_PROXY names", async () => {
    await start();
    const port = await tls((_message, response) => response.end("over TLS"));
    names["direct.test"] = [ADDRESS];
    allow(`web.test:${port},80`, `direct.test:${port}`, `no.test:${port}`);
    expect((await run(`curl -sSk https://web.test:${port}/`)).text).toContain("over TLS");
    expect(seen).toEqual([`CONNECT web.test:${port} ${who}`]);
    expect((await run(`curl -sSk https://direct.test:${port}/`)).text).toContain("over TLS");
    expect((await run("curl -sS http://web.test/x")).text).toContain("by the proxy");
    expect(seen.slice(1)).toEqual(["GET http://web.test:80/x "]);
    expect((await run(`curl -sSk https://no.test:${port}/`)).code).not.toBe(0);
    await expect
      .poll(() => log.entries.at(-1)?.reason)
      .toBe(`the proxy ${ADDRESS}:${proxy} refuses no.test:${port}: status 403`);
    const other = await run(`curl -sSk --connect-to ::web.test: https://other.test:${port}/`);
    expect(other.code).not.toBe(0);
  });

  test("a name that nobody listed is pinned to an open address; one that leads to closed ones is refused", async () => {
    await start();
    const port = await tcp((socket) => socket.end("reached"));
    names["any.test"] = ["203.0.113.7"];
    names["inner.test"] = ["10.1.2.3"];
    const read = (name: string) =>
      node(
        `require("net").connect(${port}, "${name}").on("error", (e) => console.log(e.code)).pipe(process.stdout)`,
      );
    egress.setPolicy(policyOf({ mode: "open", allow: [`inner.test:${port}`] }));
    expect((await read("any.test")).text).toContain("reached");
    expect(seen).toEqual([`CONNECT 203.0.113.7:${port} ${who}`]);
    expect((await read("inner.test")).text).toContain("ECONNRESET");
    expect(seen).toHaveLength(1);
  });
});

describe.runIf(isRoot)("what is denied", () => {
  test("HTTP on port 80 is told why, TLS is reset, SSH is disconnected, a name that leads nowhere is refused", async () => {
    const web = await run("curl -sS -w ' %{http_code}' http://registry.test/x");
    expect(web.text).toContain(
      "thaw: registry.test:80 is not allowed; allow it with --allow registry.test\n 403",
    );
    const start = performance.now();
    expect((await run("curl -sS https://registry.test/")).text).toMatch(/reset|SSL/i);
    expect((await node(`require("net").connect(22, "git.test").pipe(process.stdout)`)).text).toContain(
      "SSH-2.0-thaw",
    );
    expect((await run("curl -sS http://hidden.onion/")).text).toContain("resolve");
    expect(performance.now() - start).toBeLessThan(60_000);
    expect(log.summary).toContainEqual(
      expect.objectContaining({
        destination: "registry.test",
        port: 443,
        verdict: "denied",
        count: 1,
        processes: ["curl"],
        rule: "registry.test",
      }),
    );
    await log.flush();
    expect(readFileSync(join(dir, "network.jsonl"), "utf8").trim().split("\n")).toHaveLength(3);
    const again = new NetworkLog(dir);
    await again.restore();
    expect(again.totals.denied).toBe(3);
  });

  test("the cloud's metadata stays closed when all is open, and the host's maximum counts", async () => {
    egress.setPolicy(policyOf({ mode: "open" }));
    expect((await run("curl -sS -m 60 http://169.254.169.254/")).text).toContain(
      "169.254.169.254 is closed (link-local, cloud metadata)",
    );
    egress.setPolicy(policyOf({ mode: "open" }, { allow: ["ok.test"] }));
    expect((await run("curl -sS -m 60 http://no.test/")).text).toContain("beyond what this host allows");
  });

  test("open connections end when a change of the policy no longer allows them", async () => {
    const port = await tcp((socket) => socket.write("here"));
    names["db.test"] = [ADDRESS];
    allow(`db.test:${port}`);
    const over = node(
      `require("net").connect(${port}, "db.test").on("error", (e) => console.log(e.code)).on("close", () => console.log("closed")).resume()`,
    );
    await expect.poll(() => sockets.size).toBeGreaterThan(0);
    egress.setPolicy(policyOf({}));
    expect((await over).text).toContain("closed");
    await expect.poll(() => log.entries.at(-1)?.reason).toContain("ended by a change of the policy");
  });

  test("half a request, and half a hello, end after a while", async () => {
    const port = await tcp(() => {});
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const half = (bytes: string) =>
      node(
        `const s = require("net").connect(${port}, "web.test"); s.write(Buffer.from("${bytes}", "hex")); s.on("error", () => {}).on("close", () => console.log("closed"))`,
      );
    expect((await half(Buffer.from("GET / HTTP/1.1\r\nHost: w").toString("hex"))).text).toContain("closed");
    expect((await half("160301ffff01")).text).toContain("closed");
    await expect.poll(() => log.entries.at(-1)?.reason).toContain("did not come within 0.5 s");
  });
});

test.runIf(isRoot)("ports that programs listen at are told as they come and go", async () => {
  const told: number[][] = [];
  expect(agent.tellsPorts).toBe(true);
  await agent.watchPorts((ports) => told.push(ports));
  // No exec runs, so it is looked at from time to time only.
  const soon = { timeout: 60_000 };
  await expect.poll(() => told, soon).toEqual([[]]);
  const over = node(`require("net").createServer(() => process.exit()).listen(8123, "127.0.0.1")`);
  await expect.poll(() => told, soon).toContainEqual([8123]);
  await node(`require("net").connect(8123, "127.0.0.1").on("error", () => {})`);
  await over;
  await expect.poll(() => told.at(-1), soon).toEqual([]);
  await expect(agent.watchPorts(() => {})).rejects.toThrow(/on another stream already/);
});

test.runIf(isRoot)("names that are denied at every port are refused by the resolver", async () => {
  const { refusedNames } = policyOf(
    { deny: ["evil.test:*", "*.worse.test:*", "some.test"] },
    { deny: ["most.test:*"] },
  );
  expect(refusedNames).toEqual(["evil.test", "*.worse.test", "most.test"]);
  await agent.refuseNames(refusedNames);
  const asked = await run(
    "for name in evil.test a.worse.test worse.test some.test; do getent ahostsv4 $name >/dev/null && echo yes || echo no; done",
  );
  expect(asked.text).toBe("no\nno\nyes\nyes\n");
  await agent.refuseNames([]);
  expect((await run("getent ahostsv4 evil.test")).code).toBe(0);
});

describe.runIf(isRoot)("a guest that lacks something", () => {
  /** Runs `work` with an agent that `command` starts. */
  const withAgent = async <T>(command: string[], work: (agent: Agent) => Promise<T>): Promise<T> => {
    const own = join(dir, "lacking");
    rmSync(own, { force: true });
    const [program = "", ...args] = [...command, BINARY, "--socket", own];
    const process = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    try {
      await once(process, "spawn");
      await untilListening(process, own);
      const other = await Agent.connect(connect(own), { deadlineMs: 60_000 });
      return await work(other).finally(() => other.close());
    } finally {
      process.kill("SIGKILL");
    }
  };
  /** Why a sandbox that may reach something reaches nothing, and what its commands say. */
  const lacking = async (other: Agent): Promise<[string | null, string]> => {
    const record = {
      network: extended(noNetwork(), { allow: ["web.test"] }, "command line"),
      replay: null,
    } as unknown as SandboxRecord;
    const network = new SandboxNetwork(record, dir);
    network.serve(other);
    const lines: string[] = [];
    await runGuestStep(other, { name: "test", run: "echo works", env: {} }, (line) => lines.push(line));
    return [network.unavailable, lines.join("\n")];
  };

  test("a kernel that takes no rules: the reason is told, and commands run", async () => {
    // Without the right to change them, as without the modules, the kernel refuses.
    const command = [
      "unshare",
      "--net",
      "setpriv",
      "--bounding-set",
      "-net_admin",
      "--inh-caps",
      "-net_admin",
    ];
    const [why, said] = await withAgent([...command, "sh", "-c", `exec "$@" --network`, "sh"], lacking);
    expect(why).toMatch(/^its guest's kernel can't redirect connections: .+: Operation not permitted/);
    expect(said).toBe("works");
  });

  test("an agent that knows of no network: it is too old, and commands run", async () => {
    const [why, said] = await withAgent(["unshare", "--net"], lacking);
    expect(why).toContain("too old for a network; build the template again");
    expect(said).toBe("works");
  });

  test.runIf(hasKeytool)(
    "Java's own store has the authority, which its own tool reads back (needs keytool on the PATH)",
    // Five starts of a JVM.
    { timeout: 300_000 },
    async () => {
      const authority = { pem: readFileSync(join(dir, "cert.pem"), "latin1"), hash: null };
      const tmpfs =
        "for d in /etc/ssl/certs /usr/local/share/ca-certificates; do mount -t tmpfs none $d; done";
      const store = "/etc/ssl/certs/java/cacerts";
      const make = `mkdir /etc/ssl/certs/java; keytool -genkeypair -keyalg EC -dname CN=shipped -alias shipped -keystore ${store} -storepass changeit -keypass changeit >/dev/null 2>&1`;
      const command = ["unshare", "--mount", "--net", "sh", "-c", `${tmpfs}; ${make}; exec "$@"`, "sh"];
      const listed = await withAgent(command, async (other) => {
        await trustAuthorities(other, [authority, authority]);
        const lines: string[] = [];
        const run = `keytool -list -rfc -keystore ${store} -storepass changeit 2>/dev/null`;
        await runGuestStep(other, { name: "test", run, env: {} }, (line) => lines.push(line));
        return lines.join("\n");
      });
      expect(listed).toContain("Alias name: shipped");
      expect(listed).toContain("Alias name: thaw-host-1");
      expect(listed.replaceAll("\r", "")).toContain(authority.pem.trim());
    },
  );
});

describe.runIf(isRoot)("a hostile guest", () => {
  const answers = async (): Promise<string> =>
    (
      await node(
        `require("net").connect(${await echo()}, "echo.test").on("error", (e) => console.log(e.code)).end("still here").pipe(process.stdout)`,
      )
    ).text;
  const echo = async (): Promise<number> => {
    const port = await tcp((socket) => socket.pipe(socket));
    names["echo.test"] = [ADDRESS];
    allow(`echo.test:${port}`);
    return port;
  };

  test("2,000 connections that are denied, and 10,000 questions for names: counted, not all written", async () => {
    await echo();
    const since = performance.now();
    const script = `let open = 0, left = 2000, over = 0; const next = () => { while (open < 40 && left > 0) { left--; open++; require("net").connect(9, "192.0.2.9").on("error", () => {}).on("close", () => { open--; over++; if (over === 2000) console.log("over"); else next(); }); } }; next();`;
    expect((await node(script)).text).toContain("over");
    await expect.poll(() => log.totals.denied).toBe(2_000);
    const seconds = (performance.now() - since) / 1000;
    expect(2_000 - log.totals.dropped).toBeLessThanOrEqual(BURST_LINES + LINES_PER_SECOND * seconds + 1);
    expect(log.entries.length).toBeLessThanOrEqual(1_000);
    const flood = `const s = require("dgram").createSocket("udp4"); let n = 0; const q = (i) => Buffer.concat([Buffer.from([i >> 8, i & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6]), Buffer.from(String(100000 + i)), Buffer.from([4]), Buffer.from("test"), Buffer.from([0, 0, 1, 0, 1])]); const go = () => { for (let k = 0; k < 100 && n < 10000; k++) s.send(q(n++), 53, "203.0.113.53"); n < 10000 ? setImmediate(go) : setTimeout(() => { s.close(); console.log("sent"); }, 100); }; go();`;
    expect((await node(flood)).text).toContain("sent");
    expect(await answers()).toContain("still here");
    await agent.ping();
  });

  test("a name that leads elsewhere at the next lookup: a connection's requests go to the address it had", async () => {
    const port = await http((_message, response) => response.setHeader("Connection", "close").end("first"));
    let asked = 0;
    const resolveOnce = async (): Promise<string[]> => (asked++ === 0 ? [ADDRESS] : ["127.0.0.1"]);
    egress = new Egress({
      policy: policyOf({ allow: [`web.test:${port}`, "127.0.0.0/8:*"] }),
      log,
      resolve: resolveOnce,
    });
    egress.serve(agent);
    const { text } = await run(`curl -sS http://web.test:${port}/a http://web.test:${port}/b`);
    expect(text).toContain("firstfirst");
    expect(asked).toBe(1);
  });

  test("a container behind a bridge goes the same way, and what is not TCP fails at once there too", async () => {
    const port = await http((_message, response) => response.end("to a container"));
    names["web.test"] = [ADDRESS];
    allow(`web.test:${port}`);
    const { text } = await run(`
unshare --net sleep 60 & pid=$!
for i in $(seq 600); do [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break; sleep 0.05; done
ip link add veth-thaw type veth peer name eth0 netns $pid && ip addr add 10.77.0.1/24 dev veth-thaw && ip link set veth-thaw up
echo 1 > /proc/sys/net/ipv4/ip_forward
inside() { nsenter -t $pid -n "$@"; }
inside ip addr add 10.77.0.2/24 dev eth0; inside ip link set eth0 up; inside ip link set lo up; inside ip route add default via 10.77.0.1
inside curl -sS -m 60 http://web.test:${port}/; echo
inside curl -sS -m 60 http://denied.test/
inside '${process.execPath}' -e 'const s = require("dgram").createSocket("udp4"); s.connect(9, "203.0.113.9", () => s.send("x")); s.on("error", (e) => { console.log(e.code); s.close(); })'
kill $pid; ip link del veth-thaw 2>/dev/null; true`);
    expect(text).toContain("to a container\n");
    expect(text).toContain("thaw: denied.test:80 is not allowed");
    expect(text).toContain("ECONNREFUSED");
  });

  test("without the rules it reaches nothing", async () => {
    const own = join(dir, "s2");
    const second = spawn("unshare", ["--net", "--", BINARY, "--socket", own, "--network"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    try {
      await untilListening(second, own);
      const other = await Agent.connect(connect(own), { deadlineMs: 60_000 });
      const port = await echo();
      egress.serve(other);
      const lines: string[] = [];
      const script = `ip route flush table main; ip addr flush dev lo; ip route add default dev lo; timeout 5 bash -c "exec 3<>/dev/tcp/${ADDRESS}/${port}; echo hi >&3; cat <&3" 2>&1 || echo nothing`;
      await runGuestStep(other, { name: "test", run: script, env: {} }, (line) => lines.push(line));
      expect(lines.at(-1)).toBe("nothing");
      await other.ping();
      other.close();
    } finally {
      second.kill("SIGKILL");
    }
    expect(await answers()).toContain("still here");
  });
});

test.runIf(isRoot)(
  "3,000 streams held open by a guest: as many as a sandbox has, the others wait, and it still answers",
  async () => {
    const port = await tcp((socket) => socket.pipe(socket));
    names["echo.test"] = [ADDRESS];
    allow(`echo.test:${port}`);
    const holding = node(
      `let open = 0, errors = {}; const net = require("net"); const tell = (why) => { console.log(why, "held " + open, JSON.stringify(errors)); process.exit(); }; for (let i = 0; i < 3000; i++) { const s = net.connect(${port}, "echo.test"); s.on("error", (e) => { errors[e.code] = (errors[e.code] ?? 0) + 1; }).once("data", () => { if (++open === 1000) setTimeout(() => tell("time"), 500); }); s.write("x".repeat(40)); } process.on("beforeExit", () => tell("idle"))`,
    );
    await expect.poll(() => sockets.size).toBeGreaterThan(1_000);
    const before = performance.now();
    await agent.ping();
    expect((await run("echo here")).text).toContain("here");
    expect(performance.now() - before).toBeLessThan(30_000);
    const { text: told } = await holding;
    const held = Number(/held (\d+)/.exec(told)?.[1]);
    expect(held, told).toBeGreaterThanOrEqual(1_000);
    expect(held).toBeLessThanOrEqual(2_048);
    const text = async () =>
      (await node(`require("net").connect(${port}, "echo.test").end("again").pipe(process.stdout)`)).text;
    expect(await text()).toContain("again");
    await expect.poll(() => log.totals.allowed).toBeGreaterThan(1_000);
  },
);

test.runIf(isRoot)("300 connections at once, and a shell that still answers", async () => {
  const port = await tcp((socket) => socket.pipe(socket));
  names["echo.test"] = [ADDRESS];
  allow(`echo.test:${port}`);
  const { text } = await node(
    `let n = 0, m = 0; for (let i = 0; i < 300; i++) { const s = require("net").connect(${port}, "echo.test"); s.on("error", () => m++).write("x".repeat(20000)); let k = 0; s.on("data", (d) => { k += d.length; if (k === 20000) { n++; s.end(); } }).on("close", () => { if (++m === 300) console.log("whole", n); }); }`,
  );
  expect(text).toContain("whole 300");
});
