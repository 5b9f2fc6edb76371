import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Pool } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { thaw, thawJson, until } from "../helpers/thaw.ts";

const config = join(testHome(), "config.yaml");
const configure = (text: string) => writeFileSync(config, text);

interface Probe {
  name: string;
  state: string;
  detail: string;
}

beforeAll(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterAll(async () => {
  rmSync(config, { force: true });
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
});

/** The doctor reads the configuration again. */
async function probe(): Promise<Probe | undefined> {
  const { stdout } = await thaw(["doctor", "--json"]);
  const { probes } = JSON.parse(String(stdout)) as { probes: Probe[] };
  return probes.find(({ name }) => name === "metrics");
}

async function scrape(url: string): Promise<Map<string, number>> {
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const values = new Map<string, number>();
  for (const line of (await answer.text()).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const parts = /^([a-z_][a-z_0-9]*(?:\{[^{}]*\})?) (\S+)$/.exec(line);
    expect(parts, line).not.toBeNull();
    values.set(parts?.[1] ?? "", Number(parts?.[2]));
  }
  return values;
}

/** What a listener answers to these bytes, until it closes. */
async function answerTo(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  // It may close before it has read everything.
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(chunks).toString();
}

test("the metrics of a host are served while config.yaml names an address", async () => {
  configure("metrics: { listen: 127.0.0.1:0 }\nlimits: { sandbox: { cpus: 2 } }\npool: { base: 1 }");
  const found = await probe();
  expect(found).toMatchObject({ state: "ok", detail: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\//) });
  const url = found?.detail ?? "";
  let before = await scrape(url);
  await until(async () => {
    before = await scrape(url);
    return before.get("thaw_pool_spares") === 1;
  }, "a spare that is ready");
  expect(before.get("thaw_pool_spares_wanted")).toBe(1);
  expect((await thaw(["create", "--name", "seen"])).exitCode).toBe(0);
  expect((await thaw(["create", "--cpus", "3"])).exitCode).toBe(125);
  const run = await thaw(["run", "--capture", "on-failure", "--", "sh", "-c", "exit 3"]);
  expect(run.exitCode, String(run.stderr)).toBe(3);
  const rises = {
    'thaw_sandboxes_created_total{source="template",result="ok"}': 2,
    'thaw_sandboxes_created_total{source="template",result="no-capacity"}': 1,
    'thaw_admission_refusals_total{verb="create",reason="no-capacity"}': 1,
    'thaw_thaw_seconds_count{source="template"}': 2,
    'thaw_pool_claims_total{result="hit"}': 1,
    thaw_execs_started_total: 1,
    'thaw_execs_ended_total{outcome="failed"}': 1,
    thaw_exec_seconds_count: 1,
    'thaw_captures_total{trigger="exit"}': 1,
    'thaw_pause_seconds_count{verb="capture"}': 1,
    thaw_capture_store_seconds_count: 1,
  };
  let after = before;
  const risen = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  await until(async () => {
    after = await scrape(url);
    return (
      after.get('thaw_sandboxes{state="running"}') === 1 && risen("thaw_capture_store_seconds_count") > 0
    );
  }, "the capture to be counted, and the run's sandbox to go");
  for (const [name, least] of Object.entries(rises)) expect(risen(name), name).toBeGreaterThanOrEqual(least);
  expect(after.get("thaw_disk_free_bytes")).toBeGreaterThan(0);
  expect(after.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);

  // Nothing else is served there.
  const { origin } = new URL(url);
  for (const path of ["/", "/v1/info", "/metrics/", "/metricsx"])
    expect((await fetch(`${origin}${path}`)).status, path).toBe(404);
  expect(
    (await fetch(url, { method: "POST", body: "x".repeat(1e6) }).catch(() => ({ status: 405 }))).status,
  ).toBe(405);
  const host = "Host: a\r\n";
  expect(await answerTo(url, `GET /metrics HTTP/1.1\r\n${host}X: ${"x".repeat(20_000)}\r\n\r\n`)).toContain(
    " 431 ",
  );
  expect(await answerTo(url, `GET /metrics/../v1/info HTTP/1.1\r\n${host}\r\n`)).toContain(" 404 ");
  expect(await answerTo(url, `DELETE /metrics HTTP/1.1\r\n${host}\r\n`)).toContain(" 405 ");
  expect(await answerTo(url, "CONNECT api:443 HTTP/1.1\r\n\r\n")).not.toContain(" 200 ");
  expect(await answerTo(url, "\0\r\n\r\n")).toContain(" 400 ");

  // However often they are asked for, they are made once a second, and the daemon answers others.
  const texts = new Set<string>();
  const began = performance.now();
  const client = new Pool(origin, { connections: 8 });
  const asked = Array.from({ length: 200 }, async (_, n) => {
    await pause(n * 10);
    texts.add(await (await client.request({ path: "/metrics", method: "GET" })).body.text());
  });
  const names = (await thawJson<{ name: string }[]>(["ls"])).map(({ name }) => name);
  expect(names).toContain("seen");
  await Promise.all(asked);
  await client.close();
  expect(texts.size).toBeLessThanOrEqual(Math.floor((performance.now() - began) / 1000) + 2);

  rmSync(config);
  expect(await probe()).toBeUndefined();
  await expect(fetch(url)).rejects.toThrow();
});

test("a port that is taken is told, and is listened at once it is free, also by the next daemon", async () => {
  const other = createServer((socket) => socket.destroy());
  other.listen(0, "127.0.0.3");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const url = `http://127.0.0.3:${port}/metrics`;
  try {
    configure(`metrics: { listen: "127.0.0.3:${port}" }`);
    const detail = `metrics are not served at 127.0.0.3:${port}: the port is taken`;
    expect(await probe()).toMatchObject({ state: "warning", detail });
    const isLogged = async () => String((await thaw(["daemon", "logs"])).stdout).includes(detail);
    await until(isLogged, "a line of the log");
    expect((await thaw(["ls"])).exitCode).toBe(0);
  } finally {
    other.close();
  }
  const answers = async () => (await fetch(url).catch(() => null))?.status === 200;
  await until(answers, "metrics at the port that is free now");
  expect(await probe()).toMatchObject({ state: "ok", detail: url });
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  await until(async () => !(await answers()), "the listener to end with its daemon");
  expect((await thaw(["daemon", "start"])).exitCode).toBe(0);
  await until(answers, "metrics of the next daemon");
});
