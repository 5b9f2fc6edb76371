/** Spans, sent by OTLP over HTTP. A collector that is down, slow or hostile costs spans, which are counted, and nothing else. */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { ExportResultCode, parseTraceParent } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { measurements } from "../../engine/measurements.ts";
import type { Attributes, Span, Tracer } from "../../engine/tracing.ts";

/** Spans that have ended and are not sent: more are dropped. Some 1 KiB each. */
const MAX_WAITING = 2_048;
const MAX_BATCH = 256;
const SEND_AFTER_MS = 1_000;
/** For a request, with all that it is tried again. */
const SEND_MS = 10_000;
/** A connection ends then, however slowly its answer comes. */
const CONNECTION_MS = 15_000;
const REQUESTS_AT_ONCE = 2;
const MAX_VALUE_CHARS = 256;
const MAX_FAILURE_CHARS = 200;

export interface Figures {
  sent: number;
  dropped: number;
  /** Of the last request; null: it succeeded. */
  failure: string | null;
}

export class Exporter implements Tracer {
  readonly figures: Figures = { sent: 0, dropped: 0, failure: null };
  readonly #provider: TracerProvider;
  #waiting = 0;

  /** @param url of the collector's traces; @param version of the daemon */
  constructor(url: string, version: string) {
    const exporter = new OTLPTraceExporter({
      url,
      timeoutMillis: SEND_MS,
      concurrencyLimit: REQUESTS_AT_ONCE,
      httpAgentOptions: (protocol) => shortLived(protocol === "https:" ? new HttpsAgent() : new HttpAgent()),
    });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ "service.name": "thaw", "service.version": version }),
      spanLimits: { attributeValueLengthLimit: MAX_VALUE_CHARS },
      spanProcessors: [
        this.#bounded(
          new BatchSpanProcessor({
            exporter: this.#counting(exporter),
            maxQueueSize: MAX_WAITING,
            maxExportBatchSize: MAX_BATCH,
            scheduledDelayMillis: SEND_AFTER_MS,
            exportTimeoutMillis: CONNECTION_MS,
          }),
        ),
      ],
    });
  }

  start(name: string, parent: string | null, attributes: Attributes): Span {
    const of = parent === null ? null : parseTraceParent(parent);
    const context =
      of === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...of, isRemote: true });
    const span = this.#provider.getTracer("thaw").startSpan(name, { attributes }, context);
    const { traceId, spanId, traceFlags } = span.spanContext();
    return {
      traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`,
      end: (more = {}) => {
        span.setAttributes(more);
        if ("error.type" in more) span.setStatus({ code: 2 });
        span.end();
      },
    };
  }

  /** What is not sent within this time is lost. Never rejects. */
  async close(withinMs: number): Promise<void> {
    const closing = this.#provider.shutdown().catch(() => {});
    await Promise.race([closing, pause(withinMs, undefined, { ref: false })]);
  }

  #drop(count: number): void {
    this.figures.dropped += count;
    measurements.emit("spans", { result: "dropped", count });
  }

  /** Of what waits, and of what is on its way. */
  #bounded(processor: SpanProcessor): SpanProcessor {
    return {
      onStart: () => {},
      onEnd: (span) => {
        if ((span.spanContext().traceFlags & 1) === 0) return;
        if (this.#waiting >= MAX_WAITING) return this.#drop(1);
        this.#waiting += 1;
        processor.onEnd(span);
      },
      forceFlush: () => processor.forceFlush(),
      shutdown: () => processor.shutdown(),
    };
  }

  #counting(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans: ReadableSpan[], done) =>
        exporter.export(spans, (result) => {
          this.#waiting -= spans.length;
          if (result.code === ExportResultCode.SUCCESS) {
            this.figures.sent += spans.length;
            this.figures.failure = null;
            measurements.emit("spans", { result: "sent", count: spans.length });
          } else {
            this.figures.failure = describeFailure(result.error);
            this.#drop(spans.length);
          }
          done(result);
        }),
      shutdown: () => exporter.shutdown(),
    };
  }
}

/** Its text may be the collector's. */
function describeFailure(error: Error | undefined): string {
  const text = error?.message || "the collector refused them";
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_FAILURE_CHARS);
}

/** One whose connections end soon: what answers byte by byte would never be given up. */
function shortLived<A extends HttpAgent>(agent: A): A {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => {
    const socket = connect(...args);
    const timer = setTimeout(() => socket?.destroy(), CONNECTION_MS).unref();
    socket?.once("close", () => clearTimeout(timer));
    return socket;
  };
  return agent;
}
