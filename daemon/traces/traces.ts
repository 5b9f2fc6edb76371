/** Sends spans to an OpenTelemetry collector while an address is configured. Nothing of OpenTelemetry is loaded before. */
import type { Config } from "../../engine/config.ts";
import { traceTo } from "../../engine/tracing.ts";
import type { Probe } from "../../runners/runner.ts";
import type { Exporter } from "./otlp.ts";

const PATH = "/v1/traces";
/** What is not sent by then is lost. */
const LEAVE_MS = 1_000;

export interface TracesOptions {
  /** Version of the daemon. */
  version: string;
  environment: Readonly<Record<string, string | undefined>>;
}

export class Traces {
  readonly #options: TracesOptions;
  #wanted: string | null = null;
  #exporter: Exporter | null = null;
  #failure: string | null = null;
  /** Changes of where they go, one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: TracesOptions) {
    this.#options = options;
  }

  /** Spans go there from now on, or nowhere. Failures are in the probe. */
  configure({ endpoint }: Config["telemetry"]): void {
    const url = endpoint === undefined ? this.#ofEnvironment() : under(endpoint);
    if (url === this.#wanted) return;
    this.#wanted = url;
    this.#turn = this.#turn
      .then(() => this.#change(url))
      .catch((error: Error) => {
        this.#failure = error.message;
      });
  }

  /** The line of `thaw doctor`: none where no traces are asked for. */
  async probes(): Promise<Probe[]> {
    await this.#turn;
    if (this.#wanted === null) return [];
    const { sent, dropped, failure } = this.#exporter?.figures ?? { sent: 0, dropped: 0, failure: null };
    const why = this.#failure ?? failure;
    const detail = `${shown(this.#wanted)}: ${sent} spans sent, ${dropped} dropped`;
    const about = { name: "traces", fatal: false };
    if (why === null) return [{ ...about, state: "ok", detail }];
    return [
      {
        ...{ ...about, state: "warning", detail: `${detail}; ${why}` },
        hint: "thaw speaks OTLP over HTTP with JSON (port 4318 of most collectors): telemetry.endpoint in config.yaml, or OTEL_EXPORTER_OTLP_ENDPOINT",
      },
    ];
  }

  /** Sends what there is, for at most a second. Never rejects. */
  async close(): Promise<void> {
    traceTo(null);
    await this.#exporter?.close(LEAVE_MS);
  }

  #ofEnvironment(): string | null {
    const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: exact, OTEL_EXPORTER_OTLP_ENDPOINT: base } =
      this.#options.environment;
    return exact || (base ? under(base) : null);
  }

  async #change(url: string | null): Promise<void> {
    traceTo(null);
    this.#failure = null;
    void this.#exporter?.close(LEAVE_MS);
    this.#exporter = null;
    if (url === null) return;
    const parsed = URL.parse(url);
    if (parsed === null || !/^https?:$/.test(parsed.protocol))
      throw new Error("that is not an http or https address");
    const { Exporter } = await import("./otlp.ts");
    this.#exporter = new Exporter(url, this.#options.version);
    traceTo(this.#exporter);
  }
}

function under(endpoint: string): string {
  return `${endpoint.replace(/\/+$/, "")}${PATH}`;
}

/** Without a password in it. */
function shown(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}
