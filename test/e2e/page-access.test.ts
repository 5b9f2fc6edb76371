/** How a browser gets in, and who else does not. docs/HOSTS.md, In a browser. */
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Asked, ask } from "../helpers/ask.ts";
import { Browser } from "../helpers/browser.ts";
import { guestServer } from "../helpers/guest-server.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

const work = mkdtempSync(join(tmpdir(), "thaw-page-access-"));
let page: URL;
/** Where the page's port is reached; its name is in the Host header. */
let at: URL;

interface Link {
  ticket: string;
  url: string;
  expiresAt: string;
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  page = new URL((await link()).url);
  at = new URL(`http://127.0.0.1:${page.port}`);
});
afterAll(async () => {
  rmSync(work, { recursive: true, force: true });
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  const tokens = (await thawJson<{ id: string }[]>(["token", "ls"])).map(({ id }) => id);
  if (tokens.length > 0) await thaw(["token", "rm", ...tokens]);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
});

const link = (...flags: string[]) => thawJson<Link>(["ui", ...flags]);
const json = { "content-type": "application/json" };
/** What a browser says of a request that the page makes. */
const ofPage = () => ({ host: page.host, origin: page.origin, "sec-fetch-site": "same-origin" });

async function status(path: string, headers: Record<string, string>, how: Asked = {}): Promise<number> {
  return (await ask(at, path, { ...how, headers: { host: page.host, ...headers } })).status;
}

function begin(body: object, headers: Record<string, string> = {}) {
  const sent = { ...ofPage(), ...json, ...headers };
  return ask(at, "/v1/session", { method: "POST", headers: sent, body: JSON.stringify(body) });
}

/** @returns the cookie, as a browser sends it */
async function logIn(body: object): Promise<{ cookie: string; name: string }> {
  const answer = await begin(body);
  expect(answer.status, answer.body).toBe(201);
  const [set = ""] = answer.headers["set-cookie"] as string[];
  return { cookie: set.split(";")[0] ?? "", name: JSON.parse(answer.body).name };
}

async function upgradeStatus(headers: Record<string, string>): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${page.port}/v1/run`, {
    headers: { host: page.host, ...headers },
  });
  const answered = new Promise<number>((resolve, reject) => {
    socket.once("open", () => resolve(101));
    socket.once("unexpected-response", (_request, { statusCode }) => resolve(statusCode ?? 0));
    socket.once("error", reject);
  });
  try {
    return await answered;
  } finally {
    socket.on("error", () => {});
    socket.terminate();
  }
}

/** Follows the events with a session. */
async function follow(cookie: string): Promise<{ ended: Promise<unknown> }> {
  const asked = request(new URL("/v1/events", at), { headers: { ...ofPage(), cookie }, agent: false });
  asked.end();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  expect(answer.statusCode).toBe(200);
  const ended = new Promise((resolve) => answer.once("close", resolve));
  answer.on("error", () => {});
  answer.resume();
  return { ended };
}

test("thaw ui has the page served on this machine, and its link works once", async () => {
  const { ticket, url, expiresAt } = await link();
  expect(url).toBe(`http://thaw.localhost:${page.port}/#ticket=${ticket}`);
  expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(60_000);
  const refused: [string, Record<string, string>, number][] = [
    ["text/plain", { "content-type": "text/plain" }, 400],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }, 400],
    ["another site", { origin: "http://evil.example" }, 403],
    ["another port", { origin: "http://thaw.localhost:1" }, 403],
    ["a page that hides its origin", { origin: "null" }, 403],
    ["a name that leads here", { host: "evil.example", origin: "http://evil.example" }, 403],
    ["where guests are", { host: at.host, origin: at.origin }, 403],
  ];
  for (const [what, headers, expected] of refused)
    expect((await begin({ ticket }, headers)).status, what).toBe(expected);
  const without = { host: page.host, ...json };
  const noOrigin = { method: "POST", headers: without, body: JSON.stringify({ ticket }) };
  expect((await ask(at, "/v1/session", noOrigin)).status, "no browser").toBe(403);

  const answer = await begin({ ticket });
  expect([answer.status, JSON.parse(answer.body)]).toEqual([
    201,
    { name: expect.stringMatching(/^session-/), rights: "operate", expiresAt: expect.any(String) },
  ]);
  expect(answer.headers["set-cookie"]).toEqual([
    expect.stringMatching(
      new RegExp(`^thaw-session-${page.port}=\\S{50,}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$`),
    ),
  ]);
  for (const body of [{ ticket }, { ticket: "A".repeat(43) }, { ticket: "" }, { token: "thaw_x_y" }])
    expect((await begin(body)).status, JSON.stringify(body)).toBe(
      "ticket" in body && body.ticket === "" ? 400 : 401,
    );

  const browser = join(work, "browser");
  writeFileSync(
    browser,
    `#!/bin/sh\nprintf %s "$1" >"${work}/opened.tmp"; mv "${work}/opened.tmp" "${work}/opened"\n`,
  );
  chmodSync(browser, 0o755);
  const opened = await thaw(["ui"], { env: { BROWSER: browser } });
  await until(() => existsSync(join(work, "opened")), "the browser to be started");
  expect(`${readFileSync(join(work, "opened"), "utf8")}\n`).toBe(opened.stdout);
  const far = await thaw(["ui", "--no-open"], { env: { SSH_CONNECTION: "192.0.2.1 1 192.0.2.2 22" } });
  expect(far.stderr).toContain(`-N -L ${page.port}:127.0.0.1:${page.port}`);
});

test("the page's files need no session, and are at the page's name only", async () => {
  const html = { accept: "text/html" };
  const answer = await ask(at, "/sandboxes", {
    headers: { host: page.host, ...html, "sec-fetch-site": "cross-site" },
  });
  expect(answer.status).toBe(existsSync("dist/web/index.html") ? 200 : 404);
  expect(answer.headers["content-security-policy"]).toContain("default-src 'none'");
  const moved = await ask(at, "//evil.example/%0d%0aX:1?a=1", { headers: html });
  expect([moved.status, moved.headers.location]).toEqual([307, `${page.origin}//evil.example/%0d%0aX:1?a=1`]);
  expect(await status("/", { ...html, host: "evil.example" })).toBe(403);
  for (const path of ["/%761/info", "/V1/info", "/./v1/info", "/x/../v1/info", "/v1%2finfo"])
    expect(await status(path, { accept: "application/json" }), path).toBe(404);
  for (const path of ["/v1", "/v1/info", "/v1?x", "/v1/../index.html", "/mcp"])
    expect(await status(path, html), path).toBe(401);
  expect(await status("/", html, { method: "POST" })).toBe(401);
});

test("a cookie counts for requests of the page alone, and has its session's rights", async () => {
  const { cookie, name } = await logIn(await ticketOf("operate"));
  const secret = cookie.slice(cookie.indexOf("=") + 1);
  const same = { "sec-fetch-site": "same-origin" };
  const answer = await ask(at, "/v1/session", { headers: { host: page.host, cookie, ...same } });
  expect(JSON.parse(answer.body)).toMatchObject({ name, rights: "operate" });
  expect(answer.headers).toMatchObject({ "cache-control": "no-store", "x-content-type-options": "nosniff" });
  const cases: [string, Record<string, string>, number][] = [
    ["the page", { cookie, ...same }, 200],
    ["the page, told by its origin", { cookie, origin: page.origin }, 200],
    ["beside one that a guest set", { cookie: `${cookie.split("=")[0]}=evil; ${cookie}`, ...same }, 200],
    ["no browser", { cookie }, 401],
    ["an address that was typed", { cookie, "sec-fetch-site": "none" }, 401],
    ["another site", { cookie, "sec-fetch-site": "cross-site" }, 403],
    ["another port", { cookie, "sec-fetch-site": "same-site" }, 403],
    ["another port's origin", { cookie, origin: "http://thaw.localhost:1", ...same }, 403],
    ["where guests are", { cookie, host: at.host, ...same }, 401],
    ["where guests are, by name", { cookie, host: `localhost:${page.port}`, ...same }, 401],
    ["a name that leads here", { cookie, host: "evil.example", ...same }, 403],
    ["another port's cookie", { cookie: `thaw-session-1=${secret}`, ...same }, 401],
    ["as a token", { authorization: `Bearer ${secret}` }, 401],
  ];
  for (const [what, headers, expected] of cases)
    expect(await status("/v1/info", headers), what).toBe(expected);

  const post = { method: "POST", body: JSON.stringify({ name: "stolen", rights: "admin" }) };
  expect(await status("/v1/tokens", { ...json, cookie, ...same }, post), "no origin").toBe(401);
  expect(await status("/v1/tokens", { ...json, cookie, ...ofPage() }, post), "needs admin").toBe(403);
  const more = { method: "POST", body: JSON.stringify({ rights: "admin" }) };
  expect(await status("/v1/tickets", { ...json, cookie, ...ofPage() }, more), "more than its own").toBe(403);

  expect(await upgradeStatus({ cookie })).toBe(401);
  expect(await upgradeStatus({ cookie, ...same })).toBe(401);
  expect(await upgradeStatus({ cookie, origin: at.origin })).toBe(403);
  expect(await upgradeStatus({ cookie, origin: page.origin })).toBe(101);
  const { cookie: reads } = await logIn(await ticketOf("read"));
  expect(await upgradeStatus({ cookie: reads, origin: page.origin })).toBe(403);
  expect(await thawJson<{ name: string }[]>(["token", "ls"])).not.toContainEqual(
    expect.objectContaining({ name: "stolen" }),
  );
});

test("a session goes on with the next daemon, and ends with its time, its token, or when it is told to", async () => {
  const { cookie, name } = await logIn(await ticketOf("operate"));
  const isIn = async (one: string) => (await status("/v1/session", { ...ofPage(), cookie: one })) === 200;
  await killDaemon();
  expect((await thaw(["ls"])).exitCode).toBe(0);
  await until(() => isIn(cookie).catch(() => false), "the page to be served again");
  expect(readFileSync(join(testHome(), "tokens.json"), "utf8")).not.toContain(
    cookie.split("_").slice(2).join("_"),
  );

  const revoked = await follow(cookie);
  expect((await thaw(["token", "rm", name])).exitCode).toBe(0);
  await revoked.ended;
  expect(await isIn(cookie)).toBe(false);

  const left = await logIn(await ticketOf("operate"));
  const open = await follow(left.cookie);
  const out = await ask(at, "/v1/session", {
    method: "DELETE",
    headers: { ...ofPage(), cookie: left.cookie },
  });
  expect([out.status, String(out.headers["set-cookie"])]).toEqual([
    204,
    expect.stringContaining("=; Path=/; Max-Age=0"),
  ]);
  await open.ended;
  expect(await isIn(left.cookie)).toBe(false);
  await until(() => {
    const lines = readFileSync(join(testHome(), "audit.jsonl"), "utf8").trimEnd().split("\n");
    const ended = lines.map((line) => JSON.parse(line)).findLast(({ verb }) => verb === "session end");
    return ended?.target === left.name && ended.by.session === left.name && ended.by.from === "listener";
  }, "the audit log to name the session");

  const made = await thaw(["token", "create", "--name", "ann", "--rights", "read"]);
  const byToken = await logIn({ token: String(made.stdout).trim() });
  const ofToken = await follow(byToken.cookie);
  expect((await thaw(["token", "rm", "ann"])).exitCode).toBe(0);
  await ofToken.ended;
  expect(await isIn(byToken.cookie)).toBe(false);

  const short = await logIn({ ticket: (await link("--ttl", "10s")).ticket });
  const timed = await follow(short.cookie);
  await timed.ended;
  expect(await isIn(short.cookie)).toBe(false);
});

test("a guest neither gets the cookie nor sets one, through a preview", async () => {
  const name = `thaw-session-${page.port}`;
  const headers = `Set-Cookie: ${name}=evil; Path=/\\r\\nSet-Cookie: =${name}=evil\\r\\nSet-Cookie: own=1\\r\\n`;
  expect((await thaw(["create", "--name", "site"])).exitCode).toBe(0);
  await thaw(["exec", "-d", "site", "--", ...guestServer(8000, "$r", headers)]);
  const { url } = await thawJson<{ url: string }>(["preview", "site", "8000"]);
  const { host, port, search } = new URL(url);
  const preview = new URL(`http://127.0.0.1:${port}`);
  const entered = await ask(preview, `/${search}`, { headers: { host } });
  const [ticket = ""] = entered.headers["set-cookie"] as string[];
  const cookie = `${name}=SECRET; __Host-${name}=SECRET; mine=1; ${ticket.split(";")[0]}`;
  const get = () => ask(preview, "/", { headers: { host, cookie } });
  await until(async () => (await get()).status === 200, "the guest to listen");
  const seen = await get();
  expect(seen.body).toMatch(/cookie: mine=1\r?$/im);
  expect(seen.body).not.toContain("SECRET");
  expect(seen.headers["set-cookie"]).toEqual(["own=1"]);
});

test("in Chromium: the page has its session, and a hostile page has nothing of it", async () => {
  const cookiesSeen: (string | undefined)[] = [];
  const hostile = createServer(({ headers }, response) => {
    cookiesSeen.push(headers.cookie);
    response.writeHead(200, { "content-type": "text/html" }).end("<p>hostile");
  }).listen(0, "127.0.0.1");
  await once(hostile, "listening");
  const { port } = hostile.address() as AddressInfo;
  try {
    await using browser = await Browser.open();
    const own = await browser.page();
    // A document of the page's origin, whatever the build has; requests of it are real. Chromium takes it for one of the internet.
    await own.context().grantPermissions(["local-network-access"]);
    await own.route(`${page.origin}/`, (route) =>
      route.fulfill({ contentType: "text/html", body: "<p>page" }),
    );
    const { ticket } = await link();
    await own.goto(`${page.origin}/#ticket=${ticket}`);
    const begun = await own.evaluate(`(async () => {
      const body = JSON.stringify(Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
      const post = { method: "POST", headers: { "content-type": "application/json" }, body };
      const { status } = await fetch("/v1/session", post);
      return [status, (await fetch("/v1/info")).status, document.cookie];
    })()`);
    expect(begun).toEqual([201, 200, ""]);
    const opens = (address: string) =>
      new Promise<boolean>((resolve) => {
        const socket = new globalThis.WebSocket(address);
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      });
    const channel = `ws://${page.host}/v1/run`;
    expect(await own.evaluate(opens, channel)).toBe(true);
    expect(await own.context().cookies()).toEqual([
      expect.objectContaining({
        ...{ name: `thaw-session-${page.port}`, domain: "thaw.localhost", path: "/" },
        ...{ httpOnly: true, sameSite: "Strict" },
      }),
    ]);

    // What guests serve through thaw port; and the same under the page's name, where the browser does send the cookie along.
    for (const origin of [`http://127.0.0.1:${port}`, `http://thaw.localhost:${port}`]) {
      const evil = await own.context().newPage();
      await evil.goto(`${origin}/`);
      expect(await evil.evaluate(opens, channel), origin).toBe(false);
      const failures = await evil.evaluate(async (target) => {
        const body = JSON.stringify({ source: { template: "base" } });
        const tries: RequestInit[] = [
          { credentials: "include" },
          { credentials: "include", method: "POST", headers: { "content-type": "application/json" }, body },
          { credentials: "include", method: "POST", mode: "no-cors", body },
        ];
        const results = tries.map((init) =>
          fetch(`${target}/v1/sandboxes`, init).then(
            ({ type }) => type,
            () => "failed",
          ),
        );
        return Promise.all(results);
      }, page.origin);
      // CORP refuses what no-cors would have let through, unread.
      expect(failures, origin).toEqual(["failed", "failed", expect.stringMatching(/^(failed|opaque)$/)]);
      // JSON in a form's clothes.
      const [posted] = await Promise.all([
        evil.waitForResponse((response) => response.url().endsWith("/v1/sandboxes")),
        evil.evaluate(`{
          document.body.innerHTML = \`<form method=post enctype=text/plain action="${page.origin}/v1/sandboxes"><input name='{"source":{"template":"base"},"labels":{"x":"' value='"}}'></form>\`;
          document.querySelector("form").submit();
        }`),
      ]);
      expect(posted.status(), origin).toBe(403);
      await evil.close();
    }
    expect(cookiesSeen[0], "at 127.0.0.1").toBeUndefined();
    expect((await thawJson<{ name: string }[]>(["ls"])).map(({ name }) => name)).toEqual(["site"]);
    expect(await own.evaluate(async () => (await fetch("/v1/info")).status)).toBe(200);
  } finally {
    hostile.close();
    hostile.closeAllConnections();
  }
});

async function ticketOf(rights: string): Promise<{ ticket: string }> {
  return { ticket: (await link("--rights", rights)).ticket };
}
