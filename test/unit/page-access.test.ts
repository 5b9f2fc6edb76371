import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { sessionCookie, sessionsIn } from "../../daemon/access/session-cookie.ts";
import { apiListenOf, pageOriginOf, pageUrlOf } from "../../daemon/access/settings.ts";
import { BrowserTickets } from "../../daemon/access/tickets.ts";
import { Tokens } from "../../daemon/access/tokens.ts";

const work = mkdtempSync(join(tmpdir(), "thaw-sessions-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const admission = { rights: "operate", sessionTtlMs: 1_000, parent: null } as const;
const HOUR = 3_600_000;

test("a ticket is good once, and for a minute", () => {
  const tickets = new BrowserTickets();
  const { ticket, expiresAt } = tickets.create(admission, 0);
  expect(Date.parse(expiresAt)).toBe(60_000);
  expect(tickets.take(`${ticket}x`, 1)).toBeNull();
  expect(tickets.take(ticket, 1)).toEqual(admission);
  expect(tickets.take(ticket, 1)).toBeNull();
  const late = tickets.create(admission, 0);
  expect(tickets.take(late.ticket, 60_000)).toBeNull();
  for (let n = 0; n < 100; n += 1) tickets.create(admission, 0);
  expect(() => tickets.create(admission, 59_999)).toThrow("100 unused links");
  expect(tickets.create(admission, 60_000).ticket).toHaveLength(43);
});

test("a session ends with what it was made with, and no later", async () => {
  const path = join(work, "tokens.json");
  const tokens = new Tokens(path);
  const ended: string[] = [];
  tokens.onEnd((id) => ended.push(id));
  const [ann, secret] = await tokens.create({ name: "ann", rights: "operate", ttlMs: HOUR });
  const [first, cookie] = await tokens.openSession({ rights: "read", ttlMs: 12 * HOUR, parent: ann.id });
  const [second] = await tokens.openSession({ rights: "read", ttlMs: 60_000, parent: first.id });
  const [own, ownCookie] = await tokens.openSession({ rights: "admin", ttlMs: HOUR, parent: null });
  expect([first.expiresAt, first.parent, second.parent, own.parent]).toEqual([
    ...[ann.expiresAt, "ann", first.name, null],
  ]);
  expect(Date.parse(second.expiresAt ?? "")).toBeLessThan(Date.parse(first.expiresAt ?? ""));
  expect([tokens.check(cookie, "session")?.id, tokens.check(cookie, "token")]).toEqual([first.id, null]);
  expect([tokens.check(secret, "token")?.id, tokens.check(secret, "session")]).toEqual([ann.id, null]);
  const text = readFileSync(path, "utf8");
  // Their last part, which may have a _ too.
  for (const one of [secret, cookie, ownCookie])
    expect(text).not.toContain(one.split("_").slice(2).join("_"));

  const next = new Tokens(path);
  expect(next.hasSessions).toBe(true);
  expect(next.check(ownCookie, "session")?.rights).toBe("admin");

  await tokens.revoke("ann");
  expect(ended.sort()).toEqual([ann.id, first.id, second.id].sort());
  expect(tokens.check(cookie, "session")).toBeNull();
  await expect(tokens.openSession({ rights: "read", ttlMs: HOUR, parent: ann.id })).rejects.toThrow(
    "has ended",
  );
  for (let n = 0; n < 50; n += 1) await tokens.openSession({ rights: "read", ttlMs: HOUR, parent: null });
  expect(tokens.list()).toHaveLength(50);
  expect(tokens.check(ownCookie, "session"), "the oldest").toBeNull();
});

test("where the page is: a name of its own on loopback, else the host's", () => {
  const at = (listen: Parameters<typeof apiListenOf>[0], host: string, port = 7878) => {
    const { page } = apiListenOf(listen);
    return [pageUrlOf(page, port)?.href, pageOriginOf(page, host)];
  };
  const tls = { tlsCert: "/cert", tlsKey: "/key" };
  const own = "http://thaw.localhost:7878";
  expect(at({ address: "localhost:0" }, "thaw.localhost:7878")).toEqual([`${own}/`, own]);
  for (const host of [
    "127.0.0.1:7878",
    "localhost:7878",
    "[::1]:7878",
    "thaw.localhost.evil:7878",
    "a@b:c",
    "",
  ])
    expect(at({ address: "127.0.0.1:7878" }, host), host).toEqual([`${own}/`, null]);
  // Through a tunnel that begins at another port.
  expect(at({ address: "127.0.0.1:7878" }, "thaw.localhost:9000")[1]).toBe("http://thaw.localhost:9000");
  const far = { address: "0.0.0.0:7878", ...tls, hosts: ["ci-3.example.com"] };
  expect(at(far, "CI-3.example.com:7878")).toEqual([
    ...["https://ci-3.example.com:7878/", "https://ci-3.example.com:7878"],
  ]);
  expect(at({ address: "0.0.0.0:7878", ...tls }, "x:7878")).toEqual([undefined, null]);
  const proxied = { address: "127.0.0.1:7878", base: "https://thaw.example.com" };
  expect(at(proxied, "thaw.example.com")).toEqual(["https://thaw.example.com/", "https://thaw.example.com"]);
  expect(at(proxied, "thaw.localhost:7878")[1]).toBeNull();
});

test("the cookie's name has the port, and says more where there is TLS", () => {
  expect(sessionCookie("S", "http://thaw.localhost:7878", 1_500)).toBe(
    "thaw-session-7878=S; Path=/; Max-Age=2; HttpOnly; SameSite=Strict",
  );
  const secure = "https://thaw.example.com";
  expect(sessionCookie("S", secure, 0)).toBe(
    "__Host-thaw-session-443=S; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
  );
  expect(sessionsIn("a=1; thaw-session-443=x; __Host-thaw-session-443=S", secure)).toEqual(["S"]);
  expect(sessionsIn("thaw-session-1=x; thaw-session-7878=S", "http://thaw.localhost:7878")).toEqual(["S"]);
});
