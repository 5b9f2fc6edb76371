/** The daemon's API, asked by its own document. It comes without templates, so that nothing it is asked for gets built. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiRequest, expectSound, type OpenApi, requests, send } from "../helpers/api-fuzz.ts";
import { until } from "../helpers/processes.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const iterations = Number(process.env.FUZZ_ITERATIONS ?? 1500);

let dir: string;
let socket: string;
let daemon: ChildProcess;
let log = "";

const get = (path: string): ApiRequest => ({ method: "GET", path, body: null, contentType: "" });

/** A stopped sandbox of an earlier daemon. */
function leaveSandbox(id: string): void {
  const resources = { cpus: 1, memoryMib: 256, diskMib: 1024 };
  const record = {
    ...{ schema: 1, id, name: `name-${id}`, state: "stopped", from: "base", snapshot: "0123456789abcdef" },
    ...{ runner: "qemu", resources, labels: {}, createdAt: "2026-01-01T00:00:00.000Z", reason: "it ended" },
    ...{
      leased: false,
      keep: false,
      thawMs: null,
      machine: null,
      defaults: { env: {}, user: "root", workdir: "/root" },
    },
  };
  mkdirSync(join(dir, "home/sandboxes", id), { recursive: true });
  writeFileSync(join(dir, "home/sandboxes", id, "record.json"), JSON.stringify(record));
}

beforeAll(async () => {
  if (!existsSync("dist/daemon.mjs")) throw new Error("dist/ is not built: npm run bootstrap");
  dir = mkdtempSync(join(tmpdir(), "thaw-api-"));
  socket = join(dir, "run", "s");
  cpSync("dist", join(dir, "dist"), { recursive: true });
  rmSync(join(dir, "dist/templates"), { recursive: true });
  mkdirSync(join(dir, "dist/templates"));
  for (const id of ["twinone", "twintwo"]) leaveSandbox(id);
  daemon = spawn(
    process.execPath,
    [join(dir, "dist/daemon.mjs"), "--home", join(dir, "home"), "--socket", socket],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  for (const stream of [daemon.stdout, daemon.stderr])
    stream?.on("data", (chunk: Buffer) => (log = (log + chunk).slice(-20_000)));
  await until(() => existsSync(socket) || daemon.exitCode !== null, "the daemon to start");
  if (!existsSync(socket)) throw new Error(`the daemon did not start: ${log}`);
});
afterAll(() => {
  daemon.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

test(`nothing asked of it is the daemon's own failure (FUZZ_SEED=${seed}, ${iterations} iterations)`, async () => {
  const document: OpenApi = JSON.parse((await send(socket, get("/v1/openapi.json"))).text);
  expect(Object.keys(document.paths).length).toBeGreaterThan(15);
  const before = readdirSync(dir).sort();
  await fc.assert(
    fc.asyncProperty(
      requests(document, { names: [], except: ["post /v1/shutdown", "get /v1/events"] }),
      async (asked) => {
        expectSound(await send(socket, asked));
        expect(daemon.exitCode).toBeNull();
      },
    ),
    { seed, numRuns: iterations },
  );
  expect((await send(socket, get("/v1/info"))).status).toBe(200);
  expect(readdirSync(dir).sort()).toEqual(before);
  expect(log).not.toMatch(/"msg":"(request failed|unhandled rejection|a channel failed)"/);
}, 120_000);

/** What a raw connection says back, until it closes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    let text = "";
    const timer = setTimeout(() => connection.destroy(), 60_000);
    connection.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!/^HTTP\/1.1 101/.test(text)) return;
      connection.destroy();
    });
    connection.on("error", () => {});
    connection.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
    connection.write(bytes, "latin1");
  });
}

const upgrade = (path: string, more = "") =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;

test.each([
  ["no such channel", upgrade("/v1/none"), /^HTTP\/1.1 404/],
  ["a name that is badly encoded", upgrade("/v1/sandboxes/%zz/execs/%ff/attach"), /^HTTP\/1.1 400/],
  ["a target that is no URL", upgrade("//"), /^HTTP\/1.1 404/],
  ["another protocol", upgrade("/v1/run").replace("websocket", "h2c"), /^HTTP\/1.1 4/],
  ["no key", upgrade("/v1/run").replace(/Sec-WebSocket-Key.*\r\n/, ""), /^HTTP\/1.1 400/],
  ["no HTTP at all", "\x16\x03\x01\x02\x00garbage\r\n\r\n", /^HTTP\/1.1 400/],
  ["a header without end", `GET / HTTP/1.1\r\nX: ${"y".repeat(70_000)}`, /^HTTP\/1.1 431/],
])("upgrades and worse: %s", async (_what, bytes, expected) => {
  expect(await raw(bytes)).toMatch(expected);
  expect((await send(socket, get("/v1/info"))).status).toBe(200);
});

describe("the same error everywhere", () => {
  const ask = async (
    method: string,
    path: string,
    body: string | null = null,
    contentType = "application/json",
  ) => {
    const { status, text } = await send(socket, {
      ...{ method, path, contentType },
      body: body === null ? null : Buffer.from(body),
    });
    return { status, code: JSON.parse(text).error?.code, message: JSON.parse(text).error?.message };
  };

  test.each([
    ["a list", "[]"],
    ["a text", '"x"'],
    ["a number", "5"],
    ["nothing", "null"],
    ["no JSON", "{"],
    ["an empty body", ""],
    ["fields of other types", '{"name":5,"labels":[],"source":"base"}'],
    ["numbers out of range", '{"cpus":1e9,"count":-1,"argv":[5]}'],
    ["a name with /", '{"name":"a/b"}'],
    ["a name with NUL", '{"name":"a\\u0000b"}'],
    ["a name with a newline", '{"name":"a\\nb"}'],
    ["a name with %", '{"name":"a%b"}'],
  ])("a body that is %s", async (_what, body) => {
    for (const path of [
      "/v1/sandboxes",
      "/v1/sandboxes/name-twinone/fork",
      "/v1/sandboxes/name-twinone/execs",
    ])
      expect(await ask("POST", path, body)).toMatchObject({ status: 400, code: "usage" });
  });

  test.each(["a%2Fb", "%25", "%00", "a%0Ab", "..%2F..", "%E2%80%AE"])("a name such as %s", async (name) => {
    for (const kind of ["sandboxes", "snapshots", "captures", "quarantine"])
      for (const method of ["GET", "DELETE"]) {
        if (kind === "quarantine" && method === "GET") continue;
        const { status, code } = await ask(method, `/v1/${kind}/${name}`);
        expect([404, 400]).toContain(status);
        expect(["not-found", "usage"]).toContain(code);
      }
  });

  test("a query of 100 KB, a type that is no JSON, and a path that is not there", async () => {
    expect(await ask("GET", `/v1/events?sandbox=${"x".repeat(100_000)}`)).toMatchObject({
      status: 431,
      code: "usage",
    });
    expect(await ask("GET", `/v1/sandboxes?label=${"x".repeat(5000)}`)).toMatchObject({
      status: 400,
      code: "usage",
    });
    expect(await ask("POST", "/v1/sandboxes", "{}", "text/html")).toMatchObject({
      status: 415,
      code: "usage",
    });
    expect(await ask("GET", "/v1/none")).toMatchObject({ status: 404, code: "not-found" });
  });

  test("events of a sandbox whose prefix fits two: refused before the stream begins", async () => {
    expect(await ask("GET", "/v1/events?sandbox=twin")).toMatchObject({ status: 400, code: "usage" });
    expect((await send(socket, get("/v1/events?sandbox=twinone&follow=0"))).status).toBe(200);
  });
});

test("500 followers of events, most of which never read: bounded, dropped with a reason, others are served", async () => {
  const follow = (): Socket => {
    const connection = connect(socket).pause();
    connection.on("error", () => {});
    connection.write("GET /v1/events HTTP/1.1\r\nHost: thaw\r\n\r\n");
    return connection;
  };
  const silent = Array.from({ length: 499 }, follow);
  const reader = follow();
  let heard = "";
  reader.on("data", (chunk: Buffer) => {
    heard += chunk.toString("latin1");
  });
  try {
    reader.resume();
    let refused = await send(socket, get("/v1/events?follow=0"));
    await until(async () => {
      refused = await send(socket, get("/v1/events?follow=0"));
      return refused.status === 503;
    }, "there to be too many");
    expect(JSON.parse(refused.text).error).toMatchObject({ code: "no-capacity" });
    const big = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`k${n}`, "x".repeat(1000)]));
    for (let n = 0; n < 30; n += 1) {
      const body = Buffer.from(JSON.stringify({ labels: { ...big, n: String(n) } }));
      const path = "/v1/sandboxes/name-twinone";
      const answer = await send(socket, { method: "PATCH", path, contentType: "application/json", body });
      expect(answer.status).toBe(200);
    }
    await until(() => heard.includes('"n":"29"'), "the reader to hear all");
    const { rssBytes } = JSON.parse((await send(socket, get("/v1/info"))).text);
    expect(rssBytes).toBeLessThan(700 << 20);
    await until(() => log.includes("an event listener was dropped"), "some to be dropped");
    // Those that read after all are told why.
    let told = "";
    for (const late of silent.slice(0, 20)) {
      late.on("data", (chunk: Buffer) => {
        told += chunk.toString("latin1").slice(-200);
      });
      late.resume();
    }
    await until(() => told.includes('{"reason":"the client read nothing for 30 s"}'), "the reason");
    const status = async () => (await send(socket, get("/v1/events?follow=0"))).status;
    await until(async () => (await status()) === 200, "room for others");
  } finally {
    for (const connection of [...silent, reader]) connection.destroy();
  }
}, 300_000);
