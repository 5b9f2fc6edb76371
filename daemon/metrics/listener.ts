/** Serves the metrics at a listener of its own: nothing of the daemon's API is there. Off unless config.yaml names an address. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Listener } from "../listener.ts";
import type { Metrics, MetricsSource } from "./metrics.ts";

const PATH = "/metrics";
/** Nobody needs more to ask for metrics. */
const MAX_HEADER_BYTES = 8 << 10;
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 5_000;

export interface MetricsListenerOptions {
  source: MetricsSource;
  version: string;
  /** The listener can't listen. */
  onFailure: (message: string) => void;
}

/** @returns a listener that is told an address */
export function metricsListener({ source, version, onFailure }: MetricsListenerOptions): Listener<string> {
  /** Made when it is first needed, and kept: counters never go back while the daemon runs. */
  let metrics: Metrics | null = null;
  return new Listener<string>({
    ...{ name: "metrics", failure: "metrics are not served", key: "metrics.listen", onFailure },
    serve: async (address) => {
      if (metrics === null) {
        const { Metrics } = await import("./metrics.ts");
        metrics = new Metrics(source, version);
      }
      const served = metrics;
      return { address, create: () => serverOf(served), url: { scheme: "http", path: PATH } };
    },
  });
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
