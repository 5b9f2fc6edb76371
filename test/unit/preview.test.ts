/** Previews: pure parts, and the listener against the real agent, here an ordinary process, with servers "inside". */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import {
  createServer as createHttp,
  type IncomingHttpHeaders,
  type RequestListener,
  request,
} from "node:http";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { cookiesForBrowser, cookiesForGuest, ticketCookie, ticketsIn } from "../../daemon/preview/cookies.ts";
import { isOwnRequest } from "../../daemon/preview/origin.ts";
import { placeOf, takeParameter } from "../../daemon/preview/place.ts";
import { Previews } from "../../daemon/preview/previews.ts";
import { addressOf, settingsOf } from "../../daemon/preview/settings.ts";
import { Tickets } from "../../daemon/preview/tickets.ts";
import { type Config, parseConfig } from "../../engine/config.ts";
import { Agent } from "../../runners/agent/agent.ts";
import { untilListening } from "../helpers/listening.ts";

const BINARY = "guest/target/x86_64-unknown-linux-gnu/release/thaw-agent";

const settings = (text = "", listen?: string) => settingsOf(parseConfig(text).preview, listen);
const MINUTE = 60_000;

describe("settings", () => {
  test("without a configuration: names below localhost, and paths", () => {
    const local = settings();
    expect(addressOf(local, { sandbox: "web", port: 8000 }, 7380).href).toBe(
      "http://8000-web.localhost:7380/",
    );
    expect([local.addresses, local.paths]).toEqual([["127.0.0.1", "::1"], true]);
  });

  test("a proxy in front; paths only where browsers say where a request comes from", () => {
    const base = settings("preview: { listen: 10.0.0.1:80, base: https://p.example.com }");
    expect(addressOf(base, { sandbox: "web", port: 8000 }, 80).href).toBe("https://p.example.com/web/8000/");
    const domain = settings(
      "preview: { listen: 10.0.0.1:80, base: https://p.example.com, domain: p.example.com }",
    );
    expect(addressOf(domain, { sandbox: "web", port: 1 }, 80).href).toBe("https://1-web.p.example.com/");
    const plain = settings("preview: { listen: 10.0.0.1:8080 }");
    expect(() => addressOf(plain, { sandbox: "web", port: 1 }, 8080)).toThrow("set up for this machine only");
    expect(
      placeOf({ ...plain, hosts: new Set(["10.0.0.1"]) }, { host: "10.0.0.1:8080", url: "/web/1/" }),
    ).toBe("nowhere");
  });

  test("mistakes", () => {
    for (const text of ["listen: x", "base: https://a/b", "base: ftp://a", "domain: A_b", "lisen: 1:1"])
      expect(() => parseConfig(`preview: { ${text} }`), text).toThrow("mistake");
    expect(() => settings("", "7380")).toThrow("is not ADDRESS:PORT");
  });
});

test("which port of which sandbox a request is for", () => {
  const at = (host: string, url: string) => placeOf(settings(), { host, url });
  expect(at("8000-my-web.localhost:7380", "/a?b")).toEqual({
    sandbox: "my-web",
    port: 8000,
    prefix: "/",
    path: "/a?b",
  });
  expect(at("localhost", "/my-web/8000/a?b")).toEqual({
    ...{ sandbox: "my-web", port: 8000, prefix: "/my-web/8000/", path: "/a?b" },
  });
  expect(at("localhost", "/web/8000?x")).toMatchObject({ path: "?x" });
  for (const [host, url] of [
    ["web.localhost", "/"],
    ["a.8000-web.localhost", "/"],
    ["localhost", "/v1/info"],
    ["localhost", "http://x/"],
  ] as const)
    expect(at(host, url), host).toBe("nowhere");
  for (const host of ["evil.example", "localhost.evil.example", "10.0.0.1", ""])
    expect(at(host, "/web/8000/"), host).toBe("elsewhere");
  expect(takeParameter("/a?x=1&thaw-ticket=t&y", "thaw-ticket")).toEqual({ url: "/a?x=1&y", value: "t" });
  expect(takeParameter("/a?x=1", "thaw-ticket").value).toBeNull();
});

test("tickets are good for one port of one sandbox, one use, and a time", () => {
  const tickets = new Tickets(Buffer.alloc(32, 1));
  const permit = { sandbox: "abc", port: 8000, issued: 1, until: 1_000 };
  const ticket = tickets.sign("link", permit);
  expect(tickets.read("link", ticket, 999)).toEqual(permit);
  expect(tickets.read("link", ticket, 1_000)).toBeNull();
  expect(tickets.read("cookie", ticket, 999)).toBeNull();
  expect(new Tickets(Buffer.alloc(32, 2)).read("link", ticket, 1)).toBeNull();
  for (let at = 0; at < ticket.length; at += 1) {
    const altered = `${ticket.slice(0, at)}${ticket[at] === "x" ? "y" : "x"}${ticket.slice(at + 1)}`;
    expect(tickets.read("link", altered, 1), altered).toBeNull();
  }
  for (const text of ["", ".", "....", "a".repeat(10_000)]) expect(tickets.read("link", text, 1)).toBeNull();
});

test("cookies: thaw's stay here, a guest's with the guest", () => {
  const host = { prefix: "/", tag: "T", isSecure: false };
  const path = { ...host, prefix: "/web/80/" };
  const own = ticketCookie("t.1", path, MINUTE);
  expect(own).toBe("thaw-preview=t.1; Path=/web/80/; Max-Age=60; HttpOnly; SameSite=Lax");
  expect(ticketCookie("t", { ...host, isSecure: true }, MINUTE)).toContain("__Host-thaw-preview=t; Path=/;");
  const sent =
    "a=1; thaw-preview=x; T.b=2; thaw-session-7878=s; __Host-thaw-session-443=s; __Host-thaw-preview=y; U.c=3";
  expect(ticketsIn(sent)).toEqual(["x", "y"]);
  expect(cookiesForGuest(sent, host)).toBe("a=1; T.b=2; U.c=3");
  expect(cookiesForGuest(sent, path)).toBe("b=2");
  expect(cookiesForGuest("thaw-preview=x", host)).toBeUndefined();
  const set = [
    "a=1; Domain=localhost; Path=/x; HttpOnly",
    "thaw-preview=evil; Path=/",
    "thaw-session-7878=evil; Path=/",
    "__Host-thaw-session-443=evil; Path=/; Secure",
    // Comes back as a cookie of that name.
    "=thaw-session-7878=evil",
    "b=2;domain = .localhost",
    "c=3; path=/; path=/y",
  ];
  expect(cookiesForBrowser(set, host)).toEqual(["a=1; HttpOnly; Path=/x", "b=2", "c=3; Path=/y"]);
  expect(cookiesForBrowser(set, path)).toEqual([
    "T.a=1; HttpOnly; Path=/web/80/x",
    "T.b=2; Path=/web/80/",
    "T.c=3; Path=/web/80/y",
  ]);
});

test("a cookie counts for requests of its own pages and for links that were followed", () => {
  const host = "localhost:7380";
  const own = (method: string, headers: IncomingHttpHeaders, prefix = "/web/80/") =>
    isOwnRequest(method, { host, ...headers }, prefix);
  const same = { "sec-fetch-site": "same-origin" };
  const followed = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  expect(own("GET", {})).toBe(true);
  expect(own("GET", { "sec-fetch-site": "none" })).toBe(true);
  expect(own("GET", { ...same, referer: `http://${host}/web/80/x` })).toBe(true);
  expect(own("GET", { ...same, referer: `http://${host}/other/80/x` })).toBe(false);
  expect(own("GET", { ...same, referer: `http://${host}/web/80/../../other/80/` })).toBe(false);
  expect(own("GET", { referer: `http://${host}/other/80/` })).toBe(false);
  expect(own("GET", same), "a page that hides its address").toBe(false);
  expect(own("GET", { ...same, ...followed }), "a window that can be read").toBe(false);
  expect(own("GET", same, "/"), "an origin of its own").toBe(true);
  for (const prefix of ["/", "/web/80/"]) {
    expect(own("GET", { "sec-fetch-site": "cross-site", ...followed }, prefix)).toBe(true);
    expect(own("POST", { "sec-fetch-site": "cross-site", ...followed }, prefix)).toBe(false);
    expect(own("GET", { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" }, prefix), "a sibling").toBe(
      false,
    );
    expect(
      own("GET", { "sec-fetch-site": "cross-site", ...followed, "sec-fetch-dest": "iframe" }, prefix),
    ).toBe(false);
    expect(
      own("GET", { origin: "http://8000-evil.localhost:7380" }, prefix),
      "a WebSocket of a sibling",
    ).toBe(false);
    expect(own("POST", { origin: "null" }, prefix)).toBe(false);
  }
  expect(own("GET", { origin: `http://${host}`, ...same }, "/")).toBe(true);
});

describe("the listener", () => {
  let dir: string;
  let child: ChildProcess;
  let agent: Agent;
  let previews: Previews;
  let used = 0;
  const config: Config = parseConfig("");
  const servers: Server[] = [];
  const sandbox = {
    id: "0123456789ab",
    record: { name: "web", state: "running" as string, frozen: null, previews: [] as object[] },
    dial: (port: number) => agent.dial({ port }),
    acquireUse: () => {
      used += 1;
      return () => (used -= 1);
    },
    wake: async () => {},
  };
  const other = { ...sandbox, id: "ba9876543210", record: { ...sandbox.record, name: "other" } };

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "thaw-preview-"));
    child = spawn(BINARY, ["--socket", join(dir, "s")], { stdio: ["ignore", "ignore", "inherit"] });
    await untilListening(child, join(dir, "s"));
    agent = await Agent.connect(connect(join(dir, "s")), { deadlineMs: 60_000 });
  });
  beforeEach(() => {
    sandbox.record.state = "running";
    sandbox.record.previews = [];
    sandbox.wake = async () => {};
    previews = made();
  });
  afterEach(() => {
    previews.close();
    for (const server of servers.splice(0)) server.close();
  });
  afterAll(() => {
    agent.close();
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });

  function made(): Previews {
    const engine = {
      home: { root: dir },
      sandboxes: [sandbox, other],
      previewSettings: () => config.preview,
    };
    return new Previews({ engine: engine as never, listen: undefined });
  }

  async function inside(
    listener: RequestListener,
    prepare: (server: Server) => void = () => {},
  ): Promise<number> {
    const server = createHttp(listener);
    prepare(server);
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return (server.address() as { port: number }).port;
  }

  interface Answer {
    status: number;
    headers: IncomingHttpHeaders;
    text: string;
  }
  type Asked = { method?: string; headers?: Record<string, string>; body?: string | Buffer };
  /** Over the loopback address, whatever the host name. */
  function ask(address: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<Answer> {
    const { host, port, pathname, search } = new URL(address);
    return new Promise((resolve, reject) => {
      const asked = request({
        ...{ host: "127.0.0.1", port, method, path: `${pathname}${search}`, agent: false },
        headers: { host, ...headers },
      });
      asked.on("error", reject);
      asked.on("response", async (answer) => {
        let text = "";
        for await (const chunk of answer) text += chunk;
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
      });
      asked.end(body);
    });
  }

  const link = async (port: number, ttlMs = MINUTE) =>
    (await previews.create(sandbox as never, { port, ttlMs, public: false })).url;
  /** Follows a link. */
  async function enter(url: string): Promise<{ url: string; cookie: string }> {
    const { status, headers } = await ask(url);
    expect(status).toBe(303);
    const cookie = headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
    return { url: new URL(headers.location ?? "", url).href, cookie };
  }
  const byPath = (url: string, port: number, name = "web") => {
    const { search, port: own } = new URL(url);
    return `http://127.0.0.1:${own}/${name}/${port}/${search}`;
  };

  test("a link becomes a cookie; thaw's header, cookie and ticket stay here; the same address after a restart", async () => {
    let seen: { url: string; headers: IncomingHttpHeaders } | undefined;
    const port = await inside((asked, answer) => {
      seen = { url: asked.url ?? "", headers: asked.headers };
      answer.setHeader("set-cookie", ["s=1; Domain=localhost", "thaw-preview=evil"]);
      answer.setHeader("service-worker-allowed", "/");
      answer.setHeader("clear-site-data", '"*"');
      answer.end("inside");
    });
    const url = await link(port);
    expect(new URL(url).hostname).toBe(`${port}-web.localhost`);
    const entered = await enter(`${url}&a=1`);
    expect(entered.url).not.toContain("ticket");
    const headers = {
      cookie: `${entered.cookie}; own=2`,
      "thaw-client-pid": "1",
      "x-forwarded-for": "9.9.9.9",
    };
    const answer = await ask(entered.url, { headers });
    expect([answer.status, answer.text]).toEqual([200, "inside"]);
    expect(seen?.url).toBe("/?a=1");
    expect(seen?.headers).toMatchObject({
      cookie: "own=2",
      host: new URL(url).host,
      "x-forwarded-proto": "http",
    });
    expect(
      Object.keys(seen?.headers ?? {}).filter(
        (name) => name.startsWith("thaw") || name === "x-forwarded-for",
      ),
    ).toEqual([]);
    expect(answer.headers["set-cookie"]).toEqual(["s=1"]);
    expect(Object.keys(answer.headers)).not.toEqual(expect.arrayContaining(["service-worker-allowed"]));
    expect(answer.headers["clear-site-data"]).toBeUndefined();
    expect(used).toBe(0);
    previews.close();
    previews = made();
    await previews.begin();
    expect((await ask(entered.url, { headers })).status).toBe(200);
    expect(statSync(join(dir, "preview.json")).mode & 0o777).toBe(0o600);
  });

  test("expired, altered, another port's, another sandbox's: the same as for a sandbox that does not exist", async () => {
    const port = await inside((_asked, answer) => answer.end("inside"));
    const second = await inside((_asked, answer) => answer.end("second"));
    const url = await link(port);
    const { cookie } = await enter(url);
    const { search, port: own } = new URL(url);
    const short = await link(port, 1);
    await sleep(5);
    const answers = await Promise.all([
      ask(short),
      ask(`${url}x`),
      ask(`http://${second}-web.localhost:${own}/${search}`),
      ask(`http://${port}-other.localhost:${own}/${search}`),
      ask(`http://${port}-absent.localhost:${own}/${search}`),
      ask(`http://${second}-web.localhost:${own}/`, { headers: { cookie } }),
      ask(`http://${port}-other.localhost:${own}/`, { headers: { cookie } }),
      ask(`http://${port}-absent.localhost:${own}/`, { headers: { cookie } }),
      ask(`http://${port}-web.localhost:${own}/`),
      ask(`http://127.0.0.1:${own}/v1/info`),
      ask(`http://127.0.0.1:${own}/`),
    ]);
    const [first] = answers;
    const comparable = ({ status, headers: { date: _date, ...headers }, text }: Answer) => ({
      status,
      headers,
      text,
    });
    for (const answer of answers) expect(comparable(answer)).toEqual(comparable(first as Answer));
    expect(first?.status).toBe(403);
    expect((await ask(url, { headers: { host: "evil.example" } })).status).toBe(421);
  });

  test("public, and taken back; links that were made before end with it", async () => {
    const port = await inside((_asked, answer) => answer.end("inside"));
    const url = await link(port);
    const { cookie } = await enter(url);
    const bare = url.replace(/\?.*/, "");
    const soon = new Date(Date.now() + MINUTE).toISOString();
    sandbox.record.previews = [{ port, publicUntil: soon, linksSince: null }];
    expect((await ask(bare)).text).toBe("inside");
    sandbox.record.previews = [
      { port, publicUntil: new Date(Date.now() - 1).toISOString(), linksSince: null },
    ];
    expect((await ask(bare)).status).toBe(403);
    await sleep(2);
    sandbox.record.previews = [{ port, publicUntil: null, linksSince: new Date().toISOString() }];
    expect((await ask(bare, { headers: { cookie } })).status).toBe(403);
    expect((await ask(url)).status).toBe(403);
  });

  test("by path: cookies and redirections stay below it, and no other preview's page gets in", async () => {
    const seen: (string | undefined)[] = [];
    const port = await inside((asked, answer) => {
      seen.push(asked.url, asked.headers.cookie);
      answer.writeHead(302, { location: "/login", "set-cookie": "s=1; Path=/" }).end();
    });
    const url = byPath(await link(port), port);
    const { cookie, url: inner } = await enter(url);
    expect(new URL(inner).pathname).toBe(`/web/${port}/`);
    const answer = await ask(`${inner}a/b?c`, { headers: { cookie } });
    expect(answer.headers.location).toBe(`/web/${port}/login`);
    const [set = ""] = answer.headers["set-cookie"] ?? [];
    expect(set).toMatch(new RegExp(`^[\\w-]{16}\\.s=1; Path=/web/${port}/$`));
    expect(seen).toEqual(["/a/b?c", undefined]);
    await ask(inner, { headers: { cookie: `${cookie}; ${set.split(";")[0]}; AAAAAAAAAAAAAAAA.s=2; js=3` } });
    expect(seen.at(-1)).toBe("s=1");
    expect((await ask(inner.slice(0, -1), { headers: { cookie } })).headers.location).toBe(`/web/${port}/`);
    const hostile = { cookie, "sec-fetch-site": "same-origin", referer: inner.replace("/web/", "/other/") };
    const refused = await ask(inner, { headers: hostile });
    expect(refused.status).toBe(403);
    expect(refused.headers["content-security-policy"]).toContain("sandbox");
    expect((await ask(inner, { headers: { ...hostile, referer: inner } })).status).toBe(302);
  });

  test("WebSockets, events as they come, ranges and large uploads", async () => {
    let size = 0;
    const port = await inside(
      async (asked, answer) => {
        if (asked.url === "/events") {
          answer.writeHead(200, { "content-type": "text/event-stream" });
          answer.write("data: 1\n\n");
          return;
        }
        if (asked.method === "POST") {
          size = 0;
          for await (const chunk of asked) size += chunk.length;
          return void answer.end(String(size));
        }
        answer.writeHead(206, { "content-range": "bytes 1-2/9" }).end(asked.headers.range);
      },
      (server) => {
        new WebSocketServer({ server: server as never }).on("connection", (socket) =>
          socket.on("message", (data) => socket.send(`echo ${data}`)),
        );
      },
    );
    const { url, cookie } = await enter(await link(port));
    const headers = { cookie, host: new URL(url).host };
    expect((await ask(url, { headers: { ...headers, range: "bytes=1-2" } })).text).toBe("bytes=1-2");
    expect((await ask(url, { method: "POST", headers, body: Buffer.alloc(3 << 20) })).text).toBe(
      String(3 << 20),
    );
    const address = `ws://127.0.0.1:${new URL(url).port}/`;
    const echoed = await new Promise((resolve, reject) => {
      const socket = new WebSocket(address, { headers });
      socket.on("error", reject);
      socket.on("open", () => socket.send("hi"));
      socket.on("message", (data) => {
        expect(used).toBe(1);
        socket.close();
        resolve(String(data));
      });
    });
    expect(echoed).toBe("echo hi");
    const refused = (more: object): Promise<string> =>
      new Promise((resolve) =>
        new WebSocket(address, { headers: { ...headers, ...more } }).on("error", (error) =>
          resolve(error.message),
        ),
      );
    expect(await refused({ cookie: "" })).toContain("403");
    expect(await refused({ origin: `http://${port}-other.localhost` })).toContain("403");
    const first = await new Promise((resolve) => {
      const asked = request({ host: "127.0.0.1", port: new URL(url).port, path: "/events", headers });
      asked.on("response", (answer) =>
        answer.once("data", (data) => {
          resolve(String(data));
          asked.destroy();
        }),
      );
      asked.on("error", () => {});
      asked.end();
    });
    expect(first).toBe("data: 1\n\n");
    while (used > 0) await sleep(5);
  });

  test("a page while it wakes, the reason when it does not, and when nothing listens", async () => {
    const port = await inside((_asked, answer) => answer.end("inside"));
    const { url, cookie } = await enter(await link(port));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    sandbox.record.state = "paused";
    sandbox.wake = () => promise;
    const page = await ask(url, { headers: { cookie, accept: "text/html" } });
    expect([page.status, page.headers.refresh, page.text]).toEqual([
      503,
      "1",
      expect.stringContaining("resuming web…"),
    ]);
    expect(used).toBe(1);
    reject(new Error("no room <b>"));
    const failed = await ask(url, { headers: { cookie, accept: "text/html" } });
    expect([failed.status, failed.text]).toEqual([502, expect.stringContaining("no room &#60;b&#62;")]);
    resolve();
    sandbox.record.state = "running";
    for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
    const none = await ask(url, { headers: { cookie } });
    expect([none.status, none.text]).toEqual([502, expect.stringContaining(`Port ${port} of sandbox web`)]);
    expect(none.text.toLowerCase()).toContain("refused");
  });

  test("what can be read in two ways goes no further", async () => {
    const seen: string[] = [];
    const port = await inside((asked, answer) => {
      seen.push(asked.url ?? "");
      answer.end("inside");
    });
    const { url, cookie } = await enter(await link(port));
    const raw = (text: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.end(text));
        let got = "";
        socket.on("data", (data) => (got += data));
        socket.on("close", () => resolve(got));
        socket.on("error", () => {});
      });
    const head = `Host: ${new URL(url).host}\r\nCookie: ${cookie}\r\n`;
    for (const both of [
      "Content-Length: 4\r\nTransfer-Encoding: chunked",
      "Content-Length: 4\r\nContent-Length: 5",
    ])
      expect(
        await raw(`POST / HTTP/1.1\r\n${head}${both}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n`),
      ).toMatch(/^HTTP\/1.1 400 /);
    expect(await raw(`GET http://evil.example/ HTTP/1.1\r\n${head}\r\n`)).toMatch(/^HTTP\/1.1 403 /);
    expect(await raw(`CONNECT evil.example:80 HTTP/1.1\r\n${head}\r\n`)).toBe("");
    expect(seen).toEqual([]);
  });
});
