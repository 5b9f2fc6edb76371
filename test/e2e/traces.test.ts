import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { daemonPid, isAlive, thaw, until } from "../helpers/thaw.ts";

const config = join(testHome(), "config.yaml");
const configure = (text: string) => writeFileSync(config, text);

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: number; boolValue?: boolean } }[];
  status: { code?: number };
}
interface OtlpTraces {
  resourceSpans: {
    resource: { attributes: OtlpSpan["attributes"] };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
}

/** A collector of this test: it keeps what it is sent, and answers as it is told to. */
class Collector {
  readonly bodies: string[] = [];
  answer: (response: ServerResponse) => void = (response) => response.end("{}");
  readonly #server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests.push(`${request.method} ${request.url} ${request.headers["content-type"]}`);
    this.bodies.push(Buffer.concat(chunks).toString());
    response.on("error", () => {});
    this.answer(response);
  });
  readonly requests: string[] = [];

  async open(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get spans(): OtlpSpan[] {
    return this.bodies.flatMap((body) =>
      (JSON.parse(body) as OtlpTraces).resourceSpans.flatMap(({ scopeSpans }) =>
        scopeSpans.flatMap(({ spans }) => spans),
      ),
    );
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const collector = new Collector();
let endpoint = "";

beforeAll(async () => {
  endpoint = await collector.open();
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterAll(async () => {
  rmSync(config, { force: true });
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  collector.close();
});

async function probe() {
  const { stdout } = await thaw(["doctor", "--json"]);
  const { probes } = JSON.parse(String(stdout)) as {
    probes: { name: string; state: string; detail: string }[];
  };
  return probes.find(({ name }) => name === "traces");
}

function valuesOf({ attributes }: OtlpSpan): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

test("a run, its parts, its command and its capture are one trace, which the client's traceparent begins", async () => {
  configure(
    `telemetry: { endpoint: "${endpoint}/" }\nmetrics: { listen: 127.0.0.1:0 }\nlimits: { sandbox: { cpus: 2 } }`,
  );
  expect(await probe()).toMatchObject({ state: "ok", detail: expect.stringContaining(endpoint) });
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const parent = "00f067aa0ba902b7";
  const secret = "hunter2-of-nobody";
  const run = await thaw(
    [
      ...["run", "--capture", "on-failure", "-e", `TOKEN=${secret}`, "--"],
      ...["sh", "-c", `echo "$TRACEPARENT"; : argument-of-nobody; exit 3`],
    ],
    { env: { TRACEPARENT: `00-${trace}-${parent}-01` } },
  );
  expect(run.exitCode, String(run.stderr)).toBe(3);
  const mine = () => collector.spans.filter(({ traceId }) => traceId === trace);
  const names = () => mine().map(({ name }) => name);
  await until(
    () => names().includes("store") && names().includes("run"),
    "the run's and its capture's spans",
  );
  const named = (name: string): OtlpSpan => {
    const found = mine().filter((span) => span.name === name);
    expect(found.length, name).toBe(1);
    return found[0] as OtlpSpan;
  };
  const parents = { create: "run", exec: "run", resolve: "create", admit: "create", thaw: "create" };
  const inner = { "make machine": "thaw", greet: "thaw", capture: "exec", store: "capture" };
  expect(named("run").parentSpanId).toBe(parent);
  for (const [name, above] of Object.entries({ ...parents, ...inner }))
    expect(named(name).parentSpanId, name).toBe(named(above).spanId);
  for (const span of mine())
    expect(BigInt(span.endTimeUnixNano), span.name).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
  const exec = named("exec");
  expect(valuesOf(exec)).toMatchObject({ "process.exit.code": 3, "thaw.timed_out": false });
  expect(valuesOf(named("capture"))).toMatchObject({ "thaw.trigger": "exit" });
  expect(valuesOf(named("create"))).toMatchObject({ "thaw.source": "template" });
  // The command is told of its own span.
  expect(String(run.stdout)).toBe(`00-${trace}-${exec.spanId}-01\n`);
  expect(new Set(collector.requests)).toEqual(new Set(["POST /v1/traces application/json"]));
  const [first = ""] = collector.bodies;
  const { resourceSpans } = JSON.parse(first) as OtlpTraces;
  expect(resourceSpans[0]?.resource.attributes).toContainEqual({
    ...{ key: "service.name", value: { stringValue: "thaw" } },
  });
  // Neither commands nor values of variables are told.
  for (const body of collector.bodies)
    for (const word of [secret, "TOKEN", "argument-of-nobody"]) expect(body).not.toContain(word);
});

test("a request that fails says its error's code; without a client's traceparent, or with nonsense, a trace begins", async () => {
  const env = { TRACEPARENT: "00-zz-nonsense" };
  expect((await thaw(["create", "--cpus", "3"], { env })).exitCode).toBe(125);
  const failed = () => collector.spans.find((span) => valuesOf(span)["error.type"] === "no-capacity");
  await until(() => failed() !== undefined, "the span of the request that failed");
  const root = () =>
    collector.spans.find(({ name, traceId }) => name === "create" && traceId === failed()?.traceId);
  await until(() => root() !== undefined, "the request's own span");
  expect(root()).toMatchObject({ status: { code: 2 } });
  expect(root()?.parentSpanId ?? "").toBe("");
});

test("a collector that does not answer costs spans, which are counted, and no time", async () => {
  const dropped = async (): Promise<number> => {
    const metrics = (await thaw(["doctor", "--json"])).stdout;
    const { probes } = JSON.parse(String(metrics)) as { probes: { name: string; detail: string }[] };
    const url = probes.find(({ name }) => name === "metrics")?.detail ?? "";
    const text = await (await fetch(url)).text();
    return Number(/^thaw_trace_spans_total\{result="dropped"\} (\d+)$/m.exec(text)?.[1]);
  };
  const before = await dropped();
  // Refused for good, with a body that nobody wants.
  collector.answer = (response) => {
    response.writeHead(400);
    response.end("\u001b[31m".repeat(100_000));
  };
  expect((await thaw(["create", "--name", "traced"])).exitCode).toBe(0);
  await until(async () => (await dropped()) > before, "spans that were dropped");
  const warned = await probe();
  expect(warned).toMatchObject({ state: "warning", detail: expect.stringMatching(/\d+ dropped; \S/) });
  expect(warned?.detail).not.toContain("\u001b");
  expect(warned?.detail.length).toBeLessThan(500);

  // Never answered: what is asked of the daemon meanwhile is answered, and so is its end.
  const asked = collector.bodies.length;
  collector.answer = () => {};
  expect((await thaw(["exec", "traced", "true"])).exitCode).toBe(0);
  await until(() => collector.bodies.length > asked, "a request that hangs");
  expect((await thaw(["exec", "traced", "true"])).exitCode).toBe(0);
  expect((await thaw(["rm", "traced"])).exitCode).toBe(0);
  const pid = await daemonPid();
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  await until(() => !isAlive(pid), "the daemon to end");
});

test("a line of the daemon's log is an object with its time, its level and what happened", async () => {
  const { stdout } = await thaw(["daemon", "logs"]);
  const ready = String(stdout)
    .trimEnd()
    .split("\n")
    .findLast((line) => line.includes('"ready"'));
  expect(JSON.parse(ready ?? "")).toMatchObject({
    ...{ level: "info", time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/), msg: "ready" },
  });
});

test("the endpoint of the environment counts where the configuration names none, and what is no address is told", async () => {
  rmSync(config);
  collector.answer = (response) => response.end("{}");
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
  expect((await thaw(["daemon", "start"], { env })).exitCode).toBe(0);
  expect(await probe()).toMatchObject({
    state: "ok",
    detail: expect.stringContaining(`${endpoint}/v1/traces`),
  });
  const before = collector.spans.length;
  expect((await thaw(["create", "--name", "last"])).exitCode).toBe(0);
  // What waits is sent before a daemon ends.
  const pid = await daemonPid();
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  await until(() => !isAlive(pid), "the daemon to end");
  expect(collector.spans.length).toBeGreaterThan(before);
  expect(
    (await thaw(["daemon", "start"], { env: { OTEL_EXPORTER_OTLP_ENDPOINT: "nonsense" } })).exitCode,
  ).toBe(0);
  expect(await probe()).toMatchObject({ state: "warning", detail: expect.stringContaining("not an http") });
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
  configure('telemetry: { endpoint: "ftp://x" }');
  expect(await probe()).toBeUndefined();
  expect(String((await thaw(["create"])).stderr)).toContain("telemetry.endpoint");
});
