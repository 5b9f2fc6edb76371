/** The other end of a session, as a test scripts it: a real unix socket, frames by hand, and whatever else a hostile guest may send. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame, type FrameHeader, FrameReader } from "../../runners/agent/frame.ts";
import type { Welcome } from "../../runners/agent/messages.ts";
import { FRAME } from "../../runners/agent/protocol.ts";
import { AgentSession } from "../../runners/agent/session.ts";

export interface HostFrame extends FrameHeader {
  payload: Buffer;
}

export class Peer {
  readonly socket: Socket;
  /** Every frame of the host, in order; DATA in pieces as they came. */
  readonly frames: HostFrame[] = [];
  sessionId = 0n;
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    const take = (header: FrameHeader, payload: Buffer) => {
      if (header.type === FRAME.HELLO) this.sessionId = header.session;
      this.frames.push({ ...header, payload });
      for (const wake of this.#wake.splice(0)) wake();
    };
    const reader = new FrameReader({
      frame: take,
      data: (header, piece) => take(header, Buffer.from(piece)),
    });
    socket.on("data", (chunk: Buffer) => reader.push(chunk));
  }

  /** The first frame that fits, waited for. */
  async frame(fits: (frame: HostFrame) => boolean): Promise<HostFrame> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found) return found;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async request(op: string): Promise<HostFrame> {
    return this.frame(({ type, payload }) => type === FRAME.REQUEST && JSON.parse(String(payload)).op === op);
  }

  send(
    type: number,
    options: { stream?: number; channel?: number; session?: bigint; payload?: unknown } = {},
  ): void {
    this.socket.write(this.bytes(type, options));
  }

  /** `payload`: bytes as they are, all else as JSON. */
  bytes(
    type: number,
    options: { stream?: number; channel?: number; session?: bigint; payload?: unknown } = {},
  ): Buffer {
    const { stream = 0, channel = 0, session = this.sessionId, payload = Buffer.alloc(0) } = options;
    const body = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
    return Buffer.concat(encodeFrame({ type, channel, session, stream }, body));
  }

  async welcome(body: unknown = { version: 1, agent: "0.1.0" }): Promise<void> {
    await this.frame(({ type }) => type === FRAME.HELLO);
    this.send(FRAME.WELCOME, { payload: body });
  }
}

export interface Pair {
  host: Socket;
  peer: Peer;
  close(): void;
}

export async function socketPair(): Promise<Pair> {
  const dir = mkdtempSync(join(tmpdir(), "thaw-peer-"));
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(join(dir, "s"), resolve));
  const host = connect(join(dir, "s"));
  const [socket] = (await once(server, "connection")) as [Socket];
  const close = () => {
    host.destroy();
    socket.destroy();
    server.close();
    rmSync(dir, { recursive: true, force: true });
  };
  return { host, peer: new Peer(socket), close };
}

/** A session that has been welcomed. */
export async function welcomed(pair: Pair): Promise<{ session: AgentSession; welcome: Welcome }> {
  const opening = AgentSession.open(pair.host, { deadlineMs: 60_000 });
  await pair.peer.welcome();
  return opening;
}

export function ack(offset: bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(offset);
  return payload;
}
