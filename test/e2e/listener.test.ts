import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { ask } from "../helpers/ask.ts";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawJson, until } from "../helpers/thaw.ts";

const config = join(testHome(), "config.yaml");
const configure = (value: object) => writeFileSync(config, JSON.stringify(value));
const work = mkdtempSync(join(tmpdir(), "thaw-listener-"));
const file = (name: string) => join(work, name);

interface Probe {
  name: string;
  state: string;
  detail: string;
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  for (const rights of ["read", "operate", "admin"]) {
    const made = await thaw(["token", "create", "--name", rights, "--rights", rights]);
    expect(made.exitCode, String(made.stderr)).toBe(0);
    writeFileSync(file(rights), String(made.stdout));
  }
});
afterAll(async () => {
  rmSync(config, { force: true });
  rmSync(work, { recursive: true, force: true });
  await thaw(["token", "rm", "read", "operate", "admin"]);
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
});

const token = (name: string) => readFileSync(file(name), "utf8").trim();

/** The doctor reads the configuration again. */
async function probe(): Promise<Probe | undefined> {
  const { stdout } = await thaw(["doctor", "--json"]);
  return (JSON.parse(String(stdout)) as { probes: Probe[] }).probes.find(({ name }) => name === "api");
}

async function listening(value: object): Promise<URL> {
  configure(value);
  const found = await probe();
  expect(found?.state, JSON.stringify(found)).toBe("ok");
  return new URL(found?.detail ?? "");
}

const bearer = (name: string) => ({ authorization: `Bearer ${token(name)}` });

describe("the API over TCP", () => {
  let base: URL;
  beforeAll(async () => {
    expect(await probe()).toBeUndefined();
    base = await listening({ listen: "127.0.0.1:0" });
  });

  test("every route asks for a token with the right that the OpenAPI document names", async () => {
    const { body } = await ask(base, "/v1/openapi.json", { headers: bearer("read") });
    const { paths } = JSON.parse(body) as {
      paths: Record<string, Record<string, { "x-thaw-rights": string; operationId: string }>>;
    };
    const order = ["read", "operate", "admin"];
    const seen = new Set<string>();
    for (const [path, methods] of Object.entries(paths))
      for (const [method, { "x-thaw-rights": needs, operationId }] of Object.entries(methods)) {
        seen.add(needs);
        if (needs === "none") continue;
        const at = path.replace(/\{[^}]+\}/g, "nobody");
        const how = { method: method.toUpperCase() };
        const none = await ask(base, at, how);
        expect([none.status, none.headers["www-authenticate"]], operationId).toEqual([401, "Bearer"]);
        const below = order[order.indexOf(needs) - 1];
        if (below === undefined) continue;
        const refused = await ask(base, at, { ...how, headers: bearer(below) });
        expect([refused.status, JSON.parse(refused.body).error.code], operationId).toEqual([
          403,
          "not-allowed",
        ]);
      }
    expect([...seen].sort()).toEqual(["admin", "none", "operate", "read"]);
    expect((await ask(base, "/v1/nowhere", { headers: bearer("read") })).status).toBe(404);
  });

  test("what another site, another name or a form sends is refused", async () => {
    const headers = bearer("admin");
    const own = `http://${base.host}`;
    const status = async (more: Record<string, string>, how = {}) =>
      (await ask(base, "/v1/tokens", { headers: { ...headers, ...more }, ...how })).status;
    expect(await status({})).toBe(200);
    expect(await status({ origin: own, "sec-fetch-site": "same-origin" })).toBe(200);
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      `evil.example:${base.port}`,
      "[::ffff:127.0.0.1]",
    ])
      expect(await status({ host }), host).toBe(403);
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:1", own.replace("http", "https")])
      expect(await status({ origin }), origin).toBe(403);
    expect(await status({ "sec-fetch-site": "cross-site" })).toBe(403);
    // Another port of this machine: what a guest serves.
    expect(await status({ "sec-fetch-site": "same-site" })).toBe(403);
    const body = JSON.stringify({ name: "stolen", rights: "admin" });
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "",
    ])
      expect(await status(type === "" ? {} : { "content-type": type }, { method: "POST", body }), type).toBe(
        400,
      );
    expect(await thawJson<{ name: string }[]>(["token", "ls", "--json"])).toHaveLength(3);
  });

  test("what is no token lets nobody in", async () => {
    const good = token("admin");
    const [, id = "", secret = ""] = /^thaw_([^_]+)_(.+)$/.exec(good) ?? [];
    const wrong = [
      ...["", "x", id, secret, `thaw_${id}_`, `thaw_${id}_${"A".repeat(43)}`, `${good}x`, good.slice(0, -1)],
      `thaw_nobody_${secret}`,
    ];
    for (const text of wrong) {
      const { status, body } = await ask(base, "/v1/info", { headers: { authorization: `Bearer ${text}` } });
      expect(status, text).toBe(401);
      expect(body).not.toContain(secret);
    }
    expect(readFileSync(join(testHome(), "tokens.json"), "utf8")).not.toContain(secret);
  });

  test("a WebSocket needs the right to operate, and comes from no page of another origin", async () => {
    const open = async (headers: Record<string, string>): Promise<number> => {
      const socket = new WebSocket(new URL("/v1/run", base.href.replace("http", "ws")), { headers });
      const [answer] = await Promise.race([
        once(socket, "open").then(() => [{ statusCode: 101 }]),
        new Promise<[{ statusCode?: number | undefined }]>((resolve) =>
          socket.once("unexpected-response", (_request, response) => resolve([response])),
        ),
      ]);
      socket.on("error", () => {});
      socket.terminate();
      return answer?.statusCode ?? 0;
    };
    expect(await open({})).toBe(401);
    expect(await open(bearer("read"))).toBe(403);
    expect(await open({ ...bearer("operate"), origin: "http://evil.example" })).toBe(403);
    expect(await open({ ...bearer("operate"), host: "evil.example" })).toBe(403);
    expect(await open(bearer("operate"))).toBe(101);
  });

  test("files and addresses of the host are for admins", async () => {
    const { name } = await thawJson<{ name: string }>(["create", "--json"]);
    const post = (rights: string, forward: object) =>
      ask(base, `/v1/sandboxes/${name}/ports`, {
        ...{ method: "POST", headers: { ...bearer(rights), "content-type": "application/json" } },
        body: JSON.stringify({ guest: 8000, ...forward }),
      });
    expect((await post("operate", { path: join(work, "socket") })).status).toBe(403);
    expect((await post("operate", { port: 0, address: "0.0.0.0" })).status).toBe(403);
    expect((await post("operate", { port: 0 })).status).toBe(200);
    expect((await post("admin", { path: join(work, "socket") })).status).toBe(200);
    expect((await thaw(["rm", name])).exitCode).toBe(0);
  });

  test("a token that ends takes what it opened with it", async () => {
    const made = await thaw(["token", "create", "--name", "short", "--rights", "operate", "--ttl", "1h"]);
    writeFileSync(file("short"), String(made.stdout));
    const env = { THAW_CONFIG: join(work, "config-short") };
    const url = `http://127.0.0.1:${base.port}`;
    const added = await thaw(["context", "add", "far", url, "--token-file", file("short")], { env });
    expect(added.exitCode, String(added.stderr)).toBe(0);
    const run = thaw(["--context", "far", "run", "--", "sh", "-c", "echo ready; sleep 600"], { env });
    let out = "";
    run.stdout?.on("data", (chunk: Buffer) => {
      out += chunk;
    });
    await until(async () => out.includes("ready"), "the far command to run");
    expect((await thaw(["token", "rm", "short"])).exitCode).toBe(0);
    const ended = await run;
    expect(ended.exitCode).toBe(125);
    expect(String(ended.stderr)).toContain("the token is not valid");
    expect(String(ended.stderr)).toContain("--token-file");
    // The sandbox was leased to a client that can't come back.
    await until(
      async () => (await thawJson<unknown[]>(["ls", "--json"])).length === 0,
      "the sandbox of that client to go",
    );
    const again = await thaw(["--context", "far", "ls"], { env });
    expect(again.exitCode).toBe(125);
  });

  test("an agent has its token's rights over MCP, until the token ends", async () => {
    const connect = async (authorization: string, mode: "auto" | "legacy") => {
      const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
      const transport = new StreamableHTTPClientTransport(new URL("/mcp", base), {
        requestInit: { headers: { authorization } },
      });
      await client.connect(transport);
      onTestFinished(() => client.close());
      return async (name: string, args: object = {}, signal?: AbortSignal) =>
        (await client.callTool(
          { name, arguments: { ...args } },
          { timeout: 240_000, ...(signal === undefined ? {} : { signal }) },
        )) as { isError?: boolean; structuredContent: Record<string, string> };
    };
    const message = { jsonrpc: "2.0", id: 1, method: "tools/list" };
    const post = (body: object, headers: Record<string, string>) =>
      ask(base, "/mcp", {
        ...{ method: "POST", body: JSON.stringify(body) },
        headers: {
          ...{ "content-type": "application/json", accept: "application/json, text/event-stream" },
          ...headers,
        },
      });
    expect((await post(message, {})).status).toBe(401);
    expect((await post(message, { ...bearer("read"), origin: "http://evil.example" })).status).toBe(403);
    expect((await post([message], bearer("read"))).status).toBe(400);
    expect((await post(message, bearer("read"))).body).toContain("list_failures");
    expect((await ask(base, "/mcp", { headers: bearer("read") })).status).toBe(405);

    const reader = await connect(bearer("read").authorization, "legacy");
    expect((await reader("list_failures")).isError).toBeUndefined();
    expect(await reader("create_sandbox", { template: "base", name: "agents" })).toMatchObject({
      isError: true,
      structuredContent: { error: { code: "not-allowed" } },
    });
    expect(await thawJson<unknown[]>(["ls"])).toEqual([]);

    const made = await thaw(["token", "create", "--name", "agent", "--rights", "operate"]);
    const agent = await connect(`Bearer ${String(made.stdout).trim()}`, "auto");
    const created = await agent("create_sandbox", { template: "base", name: "agents" });
    expect(created.isError, JSON.stringify(created)).toBeUndefined();
    const sandbox = "agents";
    const ran = await agent("exec", { sandbox, argv: ["sh", "-c", "echo $((6 * 7))"] });
    expect(JSON.stringify(ran.structuredContent)).toContain("42");
    const isRunning = async () =>
      (await thaw(["exec", sandbox, "--", "pgrep", "-f", "sleep 7777"])).exitCode === 0;
    const endless = { sandbox, argv: ["sleep", "7777"], waitSeconds: 600 };
    const given = new AbortController();
    const calledOff = agent("exec", endless, given.signal).catch(() => "called off");
    await until(isRunning, "the command to run");
    given.abort();
    expect(await calledOff).toBe("called off");
    await until(async () => !(await isRunning()), "the command to be ended");

    const cut = agent("exec", endless).catch(() => "cut");
    await until(isRunning, "the command to run");
    expect((await thaw(["token", "rm", "agent"])).exitCode).toBe(0);
    expect(await cut).toBe("cut");
    await expect(agent("list_failures")).rejects.toThrow();
    const lines = readFileSync(join(testHome(), "audit.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ by: expect.objectContaining({ from: "listener", token: "agent" }) }),
    );
    expect((await thaw(["rm", sandbox])).exitCode).toBe(0);
  });

  test("the audit log names the token", async () => {
    const headers = { ...bearer("admin"), "content-type": "application/json" };
    const made = await ask(base, "/v1/tokens", {
      ...{ method: "POST", headers },
      body: JSON.stringify({ name: "second", rights: "read" }),
    });
    expect(made.status).toBe(201);
    expect(
      (await ask(base, "/v1/tokens/second", { method: "DELETE", headers: bearer("admin") })).status,
    ).toBe(200);
    await until(async () => {
      const lines = readFileSync(join(testHome(), "audit.jsonl"), "utf8").trimEnd().split("\n");
      const found = lines.map((line) => JSON.parse(line)).filter(({ target }) => target === "second");
      return (
        found.length >= 2 && found.slice(-2).every(({ by }) => by.from === "listener" && by.token === "admin")
      );
    }, "both lines of the audit log");
  });
});

test("a context over TLS: commands, their streams and files, with a certificate that is checked", async () => {
  const [key, cert] = [file("key.pem"), file("cert.pem")];
  const about = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost";
  await execa("openssl", [
    ...about.split(" "),
    "-addext",
    "subjectAltName=DNS:localhost",
    "-keyout",
    key,
    "-out",
    cert,
  ]);
  const base = await listening({ listen: { address: "localhost:0", tlsCert: cert, tlsKey: key } });
  expect(base.protocol).toBe("https:");
  const env = { THAW_CONFIG: join(work, "config-tls") };
  const url = `https://localhost:${base.port}`;
  const add = (...more: string[]) => thaw(["context", "add", "far", url, ...more], { env });
  expect(String((await add()).stderr)).toContain("--token-file");
  const distrusted = await add("--token-file", file("operate"));
  expect(distrusted.exitCode).not.toBe(0);
  expect(String(distrusted.stderr)).toMatch(/certificate .* is not trusted[\s\S]*--ca-file/);
  const added = await add("--token-file", file("operate"), "--ca-file", cert);
  expect(added.exitCode, String(added.stderr)).toBe(0);
  const far = (...args: string[]) => thaw(["--context", "far", ...args], { env });
  const run = await far("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3");
  expect([run.exitCode, run.stdout, run.stderr]).toEqual([3, "out\n", expect.stringContaining("err")]);
  expect((await far("create", "--name", "far")).exitCode).toBe(0);
  writeFileSync(file("sent"), "x".repeat(1 << 20));
  expect((await far("cp", file("sent"), "far:/root/sent")).exitCode).toBe(0);
  expect((await far("cp", "far:/root/sent", file("back"))).exitCode).toBe(0);
  expect(readFileSync(file("back")).equals(readFileSync(file("sent")))).toBe(true);
  expect((await far("rm", "far")).exitCode).toBe(0);
  const denied = await far("token", "ls");
  expect([denied.exitCode, String(denied.stderr)]).toEqual([125, expect.stringContaining("needs admin")]);
  writeFileSync(file("nonsense"), "two\nlines");
  const nonsense = await add("--token-file", file("nonsense"), "--ca-file", cert, "--force");
  expect(String(nonsense.stderr)).toContain("does not hold a token");
});

test("an address that can't be served is told by doctor, and ends nothing", async () => {
  configure({ listen: "0.0.0.0:0" });
  expect(await probe()).toMatchObject({
    state: "warning",
    detail: expect.stringContaining("without encryption"),
  });
  configure({ listen: { address: "127.0.0.1:0", tlsCert: "/nowhere", tlsKey: "/nowhere" } });
  expect(await probe()).toMatchObject({ state: "warning", detail: expect.stringContaining("/nowhere") });
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  configure({ listen: `127.0.0.1:${port}` });
  expect(await probe()).toMatchObject({
    state: "warning",
    detail: expect.stringContaining("the port is taken"),
  });
  taken.close();
  await until(async () => (await probe())?.state === "ok", "the port to be tried again");
  const base = await listening({ listen: { address: "0.0.0.0:0", plain: true, hosts: ["ci-4"] } });
  const at = new URL(`http://127.0.0.1:${base.port}`);
  expect((await ask(at, "/v1/info", { headers: bearer("read") })).status).toBe(403);
  expect((await ask(at, "/v1/info", { headers: { ...bearer("read"), host: "ci-4" } })).status).toBe(200);
});

test("a list of tokens that can't be read lets nobody in, and is kept", async () => {
  const base = await listening({ listen: "127.0.0.1:0" });
  expect((await ask(base, "/v1/info", { headers: bearer("read") })).status).toBe(200);
  const path = join(testHome(), "tokens.json");
  const good = readFileSync(path);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  try {
    writeFileSync(path, '{"schema":1,"tokens":[{');
    const next = await listening({ listen: "127.0.0.1:0" });
    expect((await ask(next, "/v1/info", { headers: bearer("read") })).status).toBe(401);
    const made = await thaw(["token", "create", "--name", "more", "--rights", "read"]);
    expect([made.exitCode, String(made.stderr)]).toEqual([125, expect.stringContaining("tokens.json")]);
    expect(readFileSync(path, "utf8")).toBe('{"schema":1,"tokens":[{');
  } finally {
    writeFileSync(path, good);
    expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  }
});
