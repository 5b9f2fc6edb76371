/** A daemon that answers what a test wants it to: what it says and how fast is somebody else's choice, as a real one's may be. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { channel, LOG_RECORD_HEADER_BYTES } from "../../api/channels.ts";

/** What is answered to a path that begins with this: a body, or whatever is done with the request. */
export type Answer = object | ((request: IncomingMessage, response: ServerResponse) => void);

const nothing: Record<string, Answer> = {
  "/v1/info": { version: "9.9.9", digest: "00", host: "odd", home: "/", pid: 1, startedAt: "", rssBytes: 0 },
  "/v1/sandboxes": { sandboxes: [], next: null, lastEvent: 0 },
  "/v1/captures": { captures: [], next: null, lastEvent: 0 },
  "/v1/snapshots": { snapshots: [], next: null, lastEvent: 0 },
  "/v1/templates": { templates: [] },
  "/v1/doctor": { ready: true, probes: [] },
  "/v1/events": (_request, response) => response.writeHead(200).flushHeaders(),
  "/v1/stats": (_request, response) => response.writeHead(200).flushHeaders(),
};

export class OddDaemon implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "thaw-odd-"));
  readonly #server: Server;
  #answers: Record<string, Answer> = {};

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? "";
      const all = { ...nothing, ...this.#answers };
      const longest = Object.keys(all)
        .filter((start) => path.startsWith(start))
        .sort((a, b) => b.length - a.length)[0];
      const answer = all[longest ?? ""] ?? {};
      if (typeof answer === "function") answer(request, response);
      else response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
    });
  }

  /** @param answers by the beginning of a path; the longest counts. Others are those of a host with nothing on it */
  static async start(answers: Record<string, Answer>): Promise<OddDaemon> {
    const daemon = new OddDaemon();
    daemon.#answers = answers;
    daemon.#server.listen(join(daemon.folder, "thaw.sock"));
    await once(daemon.#server, "listening");
    return daemon;
  }

  /** With these `thaw` asks this daemon. */
  get env(): Record<string, string> {
    const socket = join(this.folder, "thaw.sock");
    return { THAW_HOME: this.folder, THAW_CONFIG: join(this.folder, "config"), THAW_SOCKET: socket };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function record(of: number, data: Buffer): Buffer {
  const head = Buffer.alloc(LOG_RECORD_HEADER_BYTES);
  head[0] = of;
  head.writeUInt32LE(data.length, 4);
  head.writeBigUInt64LE(BigInt(Date.now()), 8);
  return Buffer.concat([head, data]);
}

/** Answers the log of a command that runs: these pieces, then more of `next` as fast as they are read, if there is such. */
export function logOf(pieces: readonly Buffer[], next?: () => Buffer): Answer {
  return (_request, response) => {
    response.writeHead(200);
    response.write(record(channel.status, Buffer.from(JSON.stringify({ type: "from", out: 0, err: 0 }))));
    for (const piece of pieces) response.write(record(channel.stdout, piece));
    if (next === undefined) return response.flushHeaders();
    const more = (): void => {
      while (!response.destroyed && response.write(record(channel.stdout, next())));
      response.once("drain", more);
    };
    more();
  };
}
