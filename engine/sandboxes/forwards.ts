/** Ports of this host that lead into one sandbox. They are part of its record; a connection wakes it. */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Forward } from "../../api/ports.ts";
import { EngineError } from "../errors.ts";
import { join, reset } from "../network/join.ts";
import { listenOn, portOf } from "./listen.ts";

const LOOPBACK = ["127.0.0.1", "::1"];
/** Connections of one sandbox at a time. Beyond, they are reset. */
const MAX_CONNECTIONS = 1_024;
const MAX_FORWARDS = 64;
/** A connection waits as long for a sandbox that is being woken. */
const WAKE_MS = 30_000;

/** What forwards need of their sandbox. */
export interface ForwardHost {
  readonly name: string;
  /** A connection to a port in it; it is woken first. */
  dial(port: number): Promise<Duplex>;
  /** Keeps it from being idle. Call the result to release. */
  acquireUse(): () => void;
}

export class Forwards {
  readonly #host: ForwardHost;
  readonly #servers = new Map<number, Server[]>();
  readonly #connections = new Set<Socket>();
  /** Why forwards of its record do not listen, by port of the host. */
  readonly faults = new Map<number, string>();

  constructor(host: ForwardHost) {
    this.#host = host;
  }

  /** Listens. @returns the forward, with the port it got. Throws `conflict` or `usage`; nothing listens then. */
  async open({ address, port, guest }: Forward): Promise<Forward> {
    if (this.#servers.size >= MAX_FORWARDS)
      throw new EngineError("conflict", `sandbox ${this.#host.name} has ${MAX_FORWARDS} forwards already`);
    try {
      const servers = await listenOn(
        () => this.#server(guest),
        address === null ? LOOPBACK : [address],
        port,
      );
      const got = portOf(servers[0]) ?? port;
      this.#servers.set(got, servers);
      return { address, port: got, guest };
    } catch (error) {
      throw explain(error, address, port);
    }
  }

  /** Listens again for what an earlier daemon has left. Never rejects: what fails is in `faults`. */
  async restore(forwards: readonly Forward[]): Promise<void> {
    await Promise.all(
      forwards.map((forward) =>
        this.open(forward).catch((error: Error) => void this.faults.set(forward.port, error.message)),
      ),
    );
  }

  /** Ends a forward and its connections. @returns whether there was one */
  close(port: number): boolean {
    this.faults.delete(port);
    const servers = this.#servers.get(port);
    for (const server of servers ?? []) server.close();
    for (const socket of this.#connections) if (socket.localPort === port) reset(socket);
    return this.#servers.delete(port);
  }

  closeAll(): void {
    for (const port of [...this.#servers.keys()]) this.close(port);
  }

  #server(guest: number): Server {
    return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void this.#carry(socket, guest));
  }

  /** Each connection stands alone: what becomes of it ends no other. */
  async #carry(socket: Socket, guest: number): Promise<void> {
    socket.on("error", () => {});
    if (this.#connections.size >= MAX_CONNECTIONS) return reset(socket);
    this.#connections.add(socket);
    const release = this.#host.acquireUse();
    const late = setTimeout(() => reset(socket), WAKE_MS);
    try {
      const inside = await this.#host.dial(guest);
      clearTimeout(late);
      if (socket.destroyed) inside.destroy();
      else await join(inside, socket);
    } catch {
      reset(socket);
    } finally {
      clearTimeout(late);
      release();
      this.#connections.delete(socket);
    }
  }
}

function explain(error: unknown, address: string | null, port: number): EngineError {
  const { code, message } = error as NodeJS.ErrnoException;
  const where = `${address ?? "127.0.0.1 and ::1"} port ${port}`;
  if (code === "EADDRINUSE")
    return new EngineError("conflict", `${where} is taken`, {
      hint: `0:GUEST takes any port; ss -ltnp 'sport = :${port}' says whose it is`,
    });
  if (code === "EACCES")
    return new EngineError("usage", `${where}: ports below 1024 need a daemon of root`, {
      hint: "a port from 1024 on, or 0",
    });
  if (code === "EADDRNOTAVAIL") return new EngineError("usage", `${address} is no address of this host`);
  return new EngineError("conflict", `${where}: ${message}`);
}
