/** A real server on a real unix socket that speaks the daemon's API as far as a test scripts it. */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type WebSocket, WebSocketServer } from "ws";
import type { ControlMessage, Exec, RunRequest, Sandbox, StatusMessage } from "../../api/schema.ts";

export const sampleExec: Exec = {
  id: "x1",
  sandbox: "s1",
  argv: ["true"],
  cwd: null,
  user: null,
  tty: false,
  state: "running",
  startedAt: "2026-01-01T00:00:00Z",
  endedAt: null,
  exit: null,
  captured: null,
  error: null,
};
export const sampleSandbox: Sandbox = {
  id: "s1",
  name: "calm-fox",
  state: "running",
  from: "base",
  snapshot: "snap1",
  isolation: "kvm",
  resources: { cpus: 1, memoryMib: 256, diskMib: 1024 },
  labels: {},
  createdAt: "2026-01-01T00:00:00Z",
  frozen: false,
  reason: null,
  leased: true,
  thawMs: 92,
  replay: null,
  cache: null,
  network: { mode: "none", unavailable: null },
  ports: [],
  listening: [],
  next: null,
  expiresAt: null,
  ...{ idleMs: null, stopAfterMs: null, removeAfterMs: null },
  execs: [],
};

export function ended(code: number): Exec {
  const exit = { code, signal: null, oom: false, timedOut: false, durationMs: 61 };
  return { ...sampleExec, state: "exited", endedAt: "2026-01-01T00:00:01Z", exit };
}

/** The daemon's end of one WebSocket. */
export class Peer {
  readonly url: URL;
  readonly ws: WebSocket;
  readonly headers: IncomingMessage["headers"];
  readonly control: (ControlMessage | RunRequest)[] = [];
  readonly stdin: Buffer[] = [];
  stdinEnded = false;
  #changed = Promise.withResolvers<void>();

  constructor(ws: WebSocket, request: IncomingMessage) {
    this.ws = ws;
    this.headers = request.headers;
    this.url = new URL(request.url ?? "", "http://thaw");
    ws.on("message", (data: Buffer) => {
      if (data[0] === 0) this.stdin.push(data.subarray(1));
      else if (data[0] === 3) this.control.push(JSON.parse(data.toString("utf8", 1)));
      else if (data[0] === 255) this.stdinEnded = true;
      this.#changed.resolve();
      this.#changed = Promise.withResolvers<void>();
    });
  }

  say(message: StatusMessage): void {
    this.ws.send(Buffer.from(`\x03${JSON.stringify(message)}`));
  }

  write(channel: 1 | 2, data: Buffer | string): void {
    this.ws.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]));
  }

  /** Waits until what the client sent makes `done` true. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await this.#changed.promise;
  }

  start(): void {
    this.say({ type: "created", sandbox: sampleSandbox });
    this.say({ type: "started", exec: sampleExec });
  }

  finish(code: number): void {
    this.say({ type: "exit", exec: ended(code) });
    this.ws.close(1000);
  }
}

export interface TestServer extends AsyncDisposable {
  folder: string;
  socket: string;
  /** With `tcp`: its URL. */
  origin: string;
  /** Paths and headers of plain requests. */
  requests: { method: string; url: string; headers: IncomingMessage["headers"] }[];
  peers: Peer[];
}

export interface TestScript {
  http?: (request: IncomingMessage, response: ServerResponse) => void;
  peer?: (peer: Peer) => void | Promise<void>;
  /** No WebSocket opens. */
  refuseUpgrades?: boolean;
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export async function startServer(
  script: TestScript,
  { at, tcp = false }: { at?: string | undefined; tcp?: boolean } = {},
): Promise<TestServer> {
  const folder = at ?? mkdtempSync(join(tmpdir(), "thaw-server-"));
  const socket = join(folder, "thaw.sock");
  const requests: TestServer["requests"] = [];
  const peers: Peer[] = [];
  const server: Server = createServer((request, response) => {
    requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    if (script.http) script.http(request, response);
    else response.writeHead(204).end();
  });
  const verifyClient = (): boolean => script.refuseUpgrades !== true;
  const sockets = new WebSocketServer({ server, verifyClient, perMessageDeflate: false });
  sockets.on("connection", (ws, request) => {
    const peer = new Peer(ws, request);
    peers.push(peer);
    void script.peer?.(peer);
  });
  await new Promise<void>((resolve) => {
    if (tcp) server.listen(0, "127.0.0.1", resolve);
    else server.listen(socket, resolve);
  });
  const address = server.address();
  const origin = typeof address === "object" ? `http://127.0.0.1:${address?.port}` : "";
  const stop = async (): Promise<void> => {
    for (const { ws } of peers) ws.terminate();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    if (at === undefined) rmSync(folder, { recursive: true, force: true });
  };
  return { folder, socket, origin, requests, peers, [Symbol.asyncDispose]: stop };
}
