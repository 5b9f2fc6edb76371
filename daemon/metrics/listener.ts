/** Serves the metrics at a listener of its own: nothing of the daemon's API is there. Off unless config.yaml names an address. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import type { Config } from "../../engine/config.ts";
import { listenOn, portOf } from "../../engine/sandboxes/listen.ts";
import type { Probe } from "../../runners/runner.ts";
import { parseListen } from "../preview/settings.ts";
import type { Metrics, MetricsSource } from "./metrics.ts";

const PATH = "/metrics";
/** Nobody needs more to ask for metrics. */
const MAX_HEADER_BYTES = 8 << 10;
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 5_000;
/** A port that is taken is tried again after this long. */
const RETRY_MS = 5_000;

export interface MetricsListenerOptions {
  source: MetricsSource;
  version: string;
  /** The listener can't listen. */
  onFailure: (message: string) => void;
}

export class MetricsListener {
  readonly #options: MetricsListenerOptions;
  /** Made when it is first needed, and kept: counters never go back while the daemon runs. */
  #metrics: Metrics | null = null;
  #wanted: string | undefined;
  #servers: Server[] = [];
  #failure: string | null = null;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** Changes of where it listens, one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: MetricsListenerOptions) {
    this.#options = options;
  }

  /** Listens there from now on, or nowhere. Failures are in the probe. */
  configure({ listen }: Config["metrics"]): void {
    if (listen === this.#wanted) return;
    this.#wanted = listen;
    this.#change();
  }

  /** The line of `thaw doctor`: none where no metrics are asked for. */
  async probes(): Promise<Probe[]> {
    await this.#turn;
    const listen = this.#wanted;
    if (listen === undefined) return [];
    const about = { name: "metrics", fatal: false };
    if (this.#failure === null)
      return [{ ...about, state: "ok", detail: urlOf(listen, portOf(this.#servers[0])) }];
    return [
      {
        ...{ ...about, state: "warning", detail: this.#failure },
        hint: "choose another address or port: metrics.listen in config.yaml; thaw tries again every 5 seconds",
      },
    ];
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #change(): void {
    this.#turn = this.#turn.then(async () => {
      this.#stop();
      this.#failure = null;
      if (this.#wanted === undefined || this.#closed) return;
      await this.#listen(this.#wanted);
      if (this.#closed) this.#stop();
    });
  }

  async #listen(listen: string): Promise<void> {
    const { host, port } = parseListen(listen);
    try {
      const metrics = await this.#loaded();
      this.#servers = await listenOn(() => serverOf(metrics), [host], port);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === "EADDRINUSE" ? "the port is taken" : message;
      this.#failure = `metrics are not served at ${listen}: ${why}`;
      this.#options.onFailure(this.#failure);
      this.#retry = setTimeout(() => this.#change(), RETRY_MS).unref();
    }
  }

  async #loaded(): Promise<Metrics> {
    if (this.#metrics === null) {
      const { source, version } = this.#options;
      const { Metrics } = await import("./metrics.ts");
      this.#metrics = new Metrics(source, version);
    }
    return this.#metrics;
  }

  #stop(): void {
    clearTimeout(this.#retry);
    for (const server of this.#servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  }
}

function urlOf(listen: string, port: number | undefined): string {
  const { host } = parseListen(listen);
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}${PATH}`;
}

function serverOf(metrics: Metrics): Server {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    connectionsCheckingInterval: REQUEST_MS,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on("request", (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    serve(metrics, request, response).catch(() => response.destroy());
  });
  return server;
}

async function serve(metrics: Metrics, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url?.split("?")[0] !== PATH) return refuse(response, 404, `metrics are at ${PATH}`);
  if (request.method !== "GET") return refuse(response, 405, "GET only");
  const text = await metrics.text();
  response.writeHead(200, { "content-type": metrics.contentType, "cache-control": "no-store" }).end(text);
}

/** The body of the request, if it has one, is not read. */
function refuse(response: ServerResponse, status: number, why: string): void {
  const allow = status === 405 ? { allow: "GET" } : {};
  response.writeHead(status, { "content-type": "text/plain", connection: "close", ...allow }).end(`${why}\n`);
}
