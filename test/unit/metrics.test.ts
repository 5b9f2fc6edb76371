import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Metrics } from "../../daemon/metrics/metrics.ts";
import { parseConfig } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { EventLog } from "../../engine/events/log.ts";
import { measured } from "../../engine/measurements.ts";
import { NetworkLog } from "../../engine/network/log.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-metrics-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Each test has its own: what is counted is counted for the whole process. */
function world() {
  const events = EventLog.open(join(folder, `${crypto.randomUUID()}.jsonl`));
  const collected = { count: 0 };
  const source = {
    sandboxes: [{ record: { state: "running" as const } }, { record: { state: "paused" as const } }],
    events,
    poolList: () => ({
      pools: [
        { ready: 1, size: 2 },
        { ready: 3, size: 3 },
      ],
    }),
    admission: { figures: { sandboxes: 2, waiting: 3 } },
    diskFigures: async () => {
      collected.count += 1;
      return { freeBytes: 1e9, reserveBytes: 2e8 };
    },
  };
  return { events, collected, source, metrics: new Metrics(source, "1.2.3") };
}

const valuesOf = (text: string) =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
const exit = { code: 0, signal: null, oom: false, timedOut: false, durationMs: 1e300 };
const about = (target: string, sandbox: string | null = "s1") => ({ target, name: "n", sandbox });

describe("metrics", () => {
  test("gauges are read when they are asked for; events and requests are counted", async () => {
    const { metrics, events } = world();
    events.append({ type: "exec.started", ...about("e1"), details: { argv: ["x"] } });
    events.append({ type: "exec.ended", ...about("e1"), details: { exit, error: null } });
    const ends = [{ code: 3 }, { code: null, signal: "SIGKILL" }, { oom: true }, { timedOut: true }];
    for (const end of ends)
      events.append({
        type: "exec.ended",
        ...about("e2"),
        details: { exit: { ...exit, ...end }, error: null },
      });
    const error = { code: "exec-not-found" as const, message: "no" };
    events.append({ type: "exec.ended", ...about("e3"), details: { exit: null, error } });
    const details = { trigger: "oom", pauseMs: 30, storeMs: 700 };
    events.append({ type: "capture.created", ...about("c1", null), details });
    events.append({ type: "capture.created", ...about("c2", null), details: { imported: true } });
    events.append({ type: "capture.failed", ...about("c3", null), details: {} });
    await measured(
      { verb: "create", from: "template" },
      async () => {},
      () => ({ thawsMs: [40] }),
    );
    const full = () => Promise.reject(new EngineError("no-capacity", "full"));
    await expect(measured({ verb: "create", from: "capture" }, full)).rejects.toThrow("full");
    await measured(
      { verb: "fork", from: "fork" },
      async () => {},
      () => ({
        thawsMs: [9, 9],
        pauseMs: 20,
      }),
    );
    const values = valuesOf(await metrics.text());
    const wanted = {
      'thaw_build_info{version="1.2.3"}': 1,
      'thaw_sandboxes{state="running"}': 1,
      'thaw_sandboxes{state="paused"}': 1,
      'thaw_sandboxes{state="failed"}': 0,
      thaw_waiting: 3,
      thaw_pool_spares: 4,
      thaw_pool_spares_wanted: 5,
      'thaw_pool_claims_total{result="hit"}': 0,
      thaw_disk_free_bytes: 1e9,
      thaw_disk_reserve_bytes: 2e8,
      thaw_execs_started_total: 1,
      'thaw_execs_ended_total{outcome="ok"}': 1,
      'thaw_execs_ended_total{outcome="failed"}': 1,
      'thaw_execs_ended_total{outcome="signal"}': 1,
      'thaw_execs_ended_total{outcome="oom"}': 1,
      'thaw_execs_ended_total{outcome="timeout"}': 1,
      'thaw_execs_ended_total{outcome="error"}': 1,
      thaw_exec_seconds_count: 1,
      'thaw_captures_total{trigger="oom"}': 1,
      'thaw_captures_total{trigger="imported"}': 1,
      thaw_captures_failed_total: 1,
      'thaw_pause_seconds_count{verb="capture"}': 1,
      'thaw_pause_seconds_bucket{le="0.025",verb="fork"}': 1,
      'thaw_capture_store_seconds_bucket{le="0.5"}': 0,
      'thaw_capture_store_seconds_bucket{le="1"}': 1,
      'thaw_sandboxes_created_total{source="template",result="ok"}': 1,
      'thaw_sandboxes_created_total{source="capture",result="no-capacity"}': 1,
      'thaw_sandboxes_created_total{source="fork",result="ok"}': 2,
      'thaw_admission_refusals_total{verb="create",reason="no-capacity"}': 1,
      'thaw_thaw_seconds_bucket{le="0.05",source="template"}': 1,
      'thaw_thaw_seconds_count{source="fork"}': 2,
    };
    expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, values.get(name)]))).toEqual(wanted);
    // The guest says that it took for ever.
    expect(values.get("thaw_exec_seconds_sum")).toBeLessThan(3_600);
  });

  test("no guest and no client makes the text grow", async () => {
    const few = world();
    const many = world();
    const before = valuesOf(await few.metrics.text());
    const log = new NetworkLog(folder);
    for (let i = 0; i < 2_000; i++) {
      const details = { trigger: `trigger-${i}`, exec: null };
      many.events.append({ type: "capture.created", ...about(`c${i}`, null), details });
      many.events.append({
        type: "sandbox.failed",
        ...about(`s${i}`, `s${i}`),
        details: { reason: `r${i}` },
      });
      many.events.append({
        ...{ type: "exec.ended", ...about(`e${i}`, `s${i}`) },
        details: { exit: { ...exit, code: null, signal: `SIG${i}` }, error: null },
      });
      log.add({
        ...{
          time: "",
          exec: null,
          pid: null,
          uid: null,
          process: `p${i}`,
          name: `host-${i}.test`,
          address: null,
          port: i,
          protocol: "tcp",
        },
        ...{ sent: 0, received: 0, durationMs: 0, verdict: "denied", rule: null, reason: `r${i}` },
      });
    }
    await log.flush();
    const after = valuesOf(await many.metrics.text());
    expect(after.get('thaw_network_connections_total{verdict="denied"}')).toBe(2_000);
    expect(after.get('thaw_execs_ended_total{outcome="signal"}')).toBe(2_000);
    const own = (values: Map<string, number>) => [...values.keys()].filter((key) => key.startsWith("thaw_"));
    expect(own(after).sort()).toEqual(own(before).sort());
  });

  test("who asks at once, and soon after, gets the same text: it is made once", async () => {
    const { metrics, collected } = world();
    const texts = await Promise.all(Array.from({ length: 50 }, () => metrics.text()));
    expect(new Set(texts).size).toBe(1);
    expect(collected.count).toBe(1);
  });

  test("a disk that can't be asked leaves the other metrics", async () => {
    const { source } = world();
    const diskFigures = () => Promise.reject(new Error("EIO"));
    const text = await new Metrics({ ...source, diskFigures }, "1").text();
    expect(text).not.toMatch(/^thaw_disk/m);
    expect(text).toContain("thaw_waiting 3\n");
  });

  test("every metric that the Grafana dashboard names is there, and it shows every one of thaw's", () => {
    const { metrics } = world();
    const { panels, templating } = JSON.parse(readFileSync("docs/grafana/thaw.json", "utf8")) as {
      panels: { targets: { expr: string }[] }[];
      templating: { list: { query: unknown }[] };
    };
    const asked = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const named = new Set(
      [...asked, JSON.stringify(templating.list)].flatMap((expr) =>
        [...expr.matchAll(/\b(?:thaw|process|nodejs)_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")),
      ),
    );
    expect(named.size).toBeGreaterThan(10);
    expect([...named].filter((name) => !metrics.names.includes(name))).toEqual([]);
    expect(metrics.names.filter((name) => name.startsWith("thaw_") && !named.has(name))).toEqual([]);
  });
});

describe("metrics.listen", () => {
  test.each(["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:0"])("%s is taken", (listen) => {
    expect(parseConfig(`metrics: { listen: "${listen}" }`).metrics).toEqual({ listen });
  });

  test.each([
    "127.0.0.1",
    "::1",
    "::1:9464",
    "localhost:9464",
    ":9464",
    "127.0.0.1:99999",
    "127.0.0.1:x",
    "a b:1",
  ])("%s is refused", (listen) => {
    expect(() => parseConfig(`metrics: { listen: "${listen}" }`)).toThrow("1 mistake");
  });

  test("without it nothing is asked for", () => {
    expect(parseConfig("").metrics).toEqual({});
    expect(() => parseConfig("metrics: { port: 1 }")).toThrow("1 mistake");
  });
});
