/** The daemon's API, asked by its own document. It comes without templates, so that nothing it is asked for gets built. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ApiRequest, expectSound, type OpenApi, requests, send } from "../helpers/api-fuzz.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const iterations = Number(process.env.FUZZ_ITERATIONS ?? 1500);

let dir: string;
let socket: string;
let daemon: ChildProcess;
let log = "";

const get = (path: string): ApiRequest => ({ method: "GET", path, body: null, contentType: "" });

beforeAll(async () => {
  if (!existsSync("dist/daemon.mjs")) throw new Error("dist/ is not built: npm run bootstrap");
  dir = mkdtempSync(join(tmpdir(), "thaw-api-"));
  socket = join(dir, "run", "s");
  cpSync("dist", join(dir, "dist"), { recursive: true });
  rmSync(join(dir, "dist/templates"), { recursive: true });
  mkdirSync(join(dir, "dist/templates"));
  daemon = spawn(
    process.execPath,
    [join(dir, "dist/daemon.mjs"), "--home", join(dir, "home"), "--socket", socket],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  for (const stream of [daemon.stdout, daemon.stderr])
    stream?.on("data", (chunk: Buffer) => (log = (log + chunk).slice(-20_000)));
  const deadline = Date.now() + 20_000;
  while (!existsSync(socket) && Date.now() < deadline) await sleep(20);
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

/** What a raw connection says back, until it closes or a moment of silence. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    let text = "";
    const timer = setTimeout(() => connection.destroy(), 3000);
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
