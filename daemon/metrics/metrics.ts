/**
 * What Prometheus gets to see of this host: counts and times. No label has a value that a guest or a client chooses, so nobody can make the
 * registry grow.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { SANDBOX_STATES, TRIGGERS } from "../../api/closed-lists.ts";
import type { DiskUse } from "../../api/disk.ts";
import type { EventDetails, EventRecord } from "../../api/event.ts";
import { NETWORK_VERDICTS } from "../../api/network.ts";
import type { Engine } from "../../engine/engine.ts";
import { CREATED_FROM, measurements, type Outcome } from "../../engine/measurements.ts";

/** A text is given to everybody who asks while it is younger than this: a scrape must cost the daemon little. */
const MAX_AGE_MS = 1_000;
/** The loop's delay is measured this often. The figures include this interval. A shorter one would wake an idle daemon more often. */
const LOOP_MS = 20;
const EXEC_OUTCOMES = ["ok", "failed", "signal", "oom", "timeout", "error"] as const;
const CAPTURED_FOR = [...TRIGGERS, "imported"] as const;
const REFUSALS = ["no-capacity", "no-space"] as const;

export interface MetricsSource {
  readonly sandboxes: readonly { readonly record: Pick<Engine["sandboxes"][number]["record"], "state"> }[];
  readonly events: Pick<Engine["events"], "lastId" | "after" | "listen">;
  poolList(): { pools: readonly { ready: number; size: number }[] };
  readonly admission: Pick<Engine["admission"], "figures">;
  diskFigures(): Promise<Pick<DiskUse["disk"], "freeBytes" | "reserveBytes">>;
}

export class Metrics {
  readonly #source: MetricsSource;
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  /** When each exec that runs was started, by `performance.now`: how long it took is not the guest's to say. */
  readonly #started = new Map<string, { sandbox: string | null; at: number }>();
  #lastId: number;
  #last: { at: number; text: string } | null = null;
  #collecting: Promise<string> | null = null;

  readonly #created = new Counter({
    name: "thaw_sandboxes_created_total",
    help: "Requests for sandboxes that have ended, by what the sandbox is thawed from and by result: ok or an error code",
    labelNames: ["source", "result"],
    registers: this.#registers,
  });
  readonly #refused = new Counter({
    name: "thaw_admission_refusals_total",
    help: "Requests that were refused because the host had no room, by verb and error code",
    labelNames: ["verb", "reason"],
    registers: this.#registers,
  });
  readonly #thaw = new Histogram({
    name: "thaw_thaw_seconds",
    help: "From the request for a sandbox until its agent answered, with the wait for room and a missing template's build",
    labelNames: ["source"],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: this.#registers,
  });
  readonly #execsStarted = new Counter({
    name: "thaw_execs_started_total",
    help: "Execs that were started",
    registers: this.#registers,
  });
  readonly #execsEnded = new Counter({
    name: "thaw_execs_ended_total",
    help: "Execs that ended, by outcome; error: not started, or lost",
    labelNames: ["outcome"],
    registers: this.#registers,
  });
  readonly #exec = new Histogram({
    name: "thaw_exec_seconds",
    help: "From the start of an exec to its end, as the host's clock has it",
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600],
    registers: this.#registers,
  });
  readonly #pause = new Histogram({
    name: "thaw_pause_seconds",
    help: "For how long a sandbox stood still while it was frozen, by what for",
    labelNames: ["verb"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: this.#registers,
  });
  readonly #captures = new Counter({
    name: "thaw_captures_total",
    help: "Captures that were stored, by trigger",
    labelNames: ["trigger"],
    registers: this.#registers,
  });
  readonly #capturesFailed = new Counter({
    name: "thaw_captures_failed_total",
    help: "Captures that could not be taken or stored",
    registers: this.#registers,
  });
  readonly #store = new Histogram({
    name: "thaw_capture_store_seconds",
    help: "Time to compress and store a capture after its sandbox went on",
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: this.#registers,
  });
  readonly #verdicts = new Counter({
    name: "thaw_network_connections_total",
    help: "Connections of sandboxes, by verdict",
    labelNames: ["verdict"],
    registers: this.#registers,
  });

  readonly #claims = new Counter({
    name: "thaw_pool_claims_total",
    help: "Requests for sandboxes of snapshots that have a pool; hit: a spare was ready",
    labelNames: ["result"],
    registers: this.#registers,
  });
  readonly #spans = new Counter({
    name: "thaw_trace_spans_total",
    help: "Spans of traces, by result; dropped: the collector did not take them, or not fast enough",
    labelNames: ["result"],
    registers: this.#registers,
  });
  readonly #diskFree = new Gauge({
    name: "thaw_disk_free_bytes",
    help: "Free bytes on the disk of the state folder",
    registers: this.#registers,
  });
  readonly #diskReserve = new Gauge({
    name: "thaw_disk_reserve_bytes",
    help: "With less than this free on the disk of the state folder nothing is created",
    registers: this.#registers,
  });

  /** Counts from now on. @param version of the daemon */
  constructor(source: MetricsSource, version: string) {
    this.#source = source;
    this.#lastId = source.events.lastId;
    this.#addGauges(version);
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LOOP_MS });
    this.#beginAtZero();
    source.events.listen(() => {
      const news = source.events.after(this.#lastId);
      this.#lastId = source.events.lastId;
      for (const event of news) this.#count(event);
    });
    measurements.on("outcome", (outcome) => this.#note(outcome));
    measurements.on("claim", (result) => this.#claims.inc({ result }));
    measurements.on("spans", ({ result, count }) => this.#spans.inc({ result }, count));
    measurements.on("verdict", (verdict) => this.#verdicts.inc({ verdict }));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Of all there are, also those that have no value yet. */
  get names(): string[] {
    return this.#registry.getMetricsAsArray().map(({ name }) => name);
  }

  /** Prometheus' text format. It is made at most once a second, for however many ask. */
  async text(): Promise<string> {
    if (this.#last !== null && performance.now() - this.#last.at < MAX_AGE_MS) return this.#last.text;
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null;
    });
    return this.#collecting;
  }

  async #collect(): Promise<string> {
    await this.#readDisk();
    const text = await this.#registry.metrics();
    this.#last = { at: performance.now(), text };
    return text;
  }

  #addGauges(version: string): void {
    const registers = this.#registers;
    const source = this.#source;
    new Gauge({
      ...{ name: "thaw_build_info", help: "1, with the version of the daemon", registers },
      labelNames: ["version"],
    }).set({ version }, 1);
    new Gauge({
      ...{ name: "thaw_sandboxes", help: "Sandboxes by state", registers, labelNames: ["state"] },
      collect() {
        for (const state of SANDBOX_STATES) this.set({ state }, 0);
        for (const { record } of source.sandboxes) this.inc({ state: record.state });
      },
    });
    new Gauge({
      ...{ name: "thaw_waiting", help: "Requests for sandboxes that wait in line for room", registers },
      collect() {
        this.set(source.admission.figures.waiting);
      },
    });
    new Gauge({
      ...{ name: "thaw_pool_spares", help: "Spares that are ready, in all pools", registers },
      collect() {
        this.set(source.poolList().pools.reduce((sum, { ready }) => sum + ready, 0));
      },
    });
    new Gauge({
      ...{ name: "thaw_pool_spares_wanted", help: "Spares that all pools should have", registers },
      collect() {
        this.set(source.poolList().pools.reduce((sum, { size }) => sum + size, 0));
      },
    });
  }

  /** Of a disk that can't be asked there are no values. */
  async #readDisk(): Promise<void> {
    try {
      const { freeBytes, reserveBytes } = await this.#source.diskFigures();
      this.#diskFree.set(freeBytes);
      this.#diskReserve.set(reserveBytes);
    } catch {
      this.#diskFree.remove();
      this.#diskReserve.remove();
    }
  }

  /** A rate needs a value before the first increase. */
  #beginAtZero(): void {
    for (const source of CREATED_FROM) this.#created.inc({ source, result: "ok" }, 0);
    for (const outcome of EXEC_OUTCOMES) this.#execsEnded.inc({ outcome }, 0);
    for (const trigger of CAPTURED_FOR) this.#captures.inc({ trigger }, 0);
    for (const verdict of NETWORK_VERDICTS) this.#verdicts.inc({ verdict }, 0);
    for (const result of ["hit", "miss"]) this.#claims.inc({ result }, 0);
    for (const result of ["sent", "dropped"]) this.#spans.inc({ result }, 0);
    for (const reason of REFUSALS) this.#refused.inc({ verb: "create", reason }, 0);
  }

  #note({ verb, from, result, thawsMs, pauseMs }: Outcome): void {
    if (from !== undefined) this.#created.inc({ source: from, result }, result === "ok" ? thawsMs.length : 1);
    if (REFUSALS.some((reason) => reason === result)) this.#refused.inc({ verb, reason: result });
    for (const ms of thawsMs) this.#thaw.observe({ source: from ?? "" }, ms / 1000);
    if (pauseMs !== null) this.#pause.observe({ verb }, pauseMs / 1000);
  }

  #count({ type, target, sandbox, details }: EventRecord): void {
    switch (type) {
      case "exec.started":
        this.#execsStarted.inc();
        this.#started.set(target, { sandbox, at: performance.now() });
        return;
      case "exec.ended":
        this.#execsEnded.inc({ outcome: execOutcome(details as EventDetails<typeof type>) });
        return this.#timeExec(target);
      case "sandbox.removed":
        for (const [exec, of] of this.#started) if (of.sandbox === target) this.#started.delete(exec);
        return;
      case "capture.created":
        return this.#countCapture(details as EventDetails<typeof type>);
      case "capture.failed":
        this.#capturesFailed.inc();
    }
  }

  #timeExec(id: string): void {
    const started = this.#started.get(id);
    if (started === undefined) return;
    this.#started.delete(id);
    this.#exec.observe((performance.now() - started.at) / 1000);
  }

  #countCapture({ imported, trigger, pauseMs, storeMs }: EventDetails<"capture.created">): void {
    const known = CAPTURED_FOR.find((one) => one === (imported === true ? "imported" : trigger));
    if (known !== undefined) this.#captures.inc({ trigger: known });
    if (pauseMs !== undefined) this.#pause.observe({ verb: "capture" }, pauseMs / 1000);
    if (storeMs !== undefined) this.#store.observe(storeMs / 1000);
  }
}

function execOutcome({ exit, error }: EventDetails<"exec.ended">): (typeof EXEC_OUTCOMES)[number] {
  if (error !== null || exit === null) return "error";
  if (exit.timedOut) return "timeout";
  if (exit.oom) return "oom";
  if (exit.signal !== null) return "signal";
  return exit.code === 0 ? "ok" : "failed";
}
