/** Ports and unix sockets of this host that lead into one sandbox. They are part of its record; a connection wakes it. */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Forward, ForwardRequest } from "../../api/ports.ts";
import { EngineError } from "../errors.ts";
import { join, reset } from "../network/join.ts";
import { type HostSocketRules, listenAtPath } from "./host-socket.ts";
import { listenOn, portOf } from "./listen.ts";
import { holderOf } from "./port-holder.ts";

const LOOPBACK = ["127.0.0.1", "::1"];
/** Connections of one sandbox at a time. Beyond, they are reset. */
const MAX_CONNECTIONS = 1_024;
const MAX_FORWARDS = 64;
/** A connection waits as long for a sandbox that is being woken. */
const WAKE_MS = 30_000;

/** What forwards need of their sandbox. */
export interface ForwardHost {
  readonly record: { readonly name: string };
  readonly sockets: HostSocketRules;
  /** A connection to a port in it, or to a unix socket's path; it is woken first. */
  dial(to: number | string): Promise<Duplex>;
  /** Keeps it from being idle. Call the result to release. */
  acquireUse(): () => void;
}

/** By which a forward is named: its port of the host, or its socket's path there. */
export type ForwardKey = number | string;

export function keyOf({ port, path }: Pick<Forward, "port" | "path">): ForwardKey {
  return path ?? port ?? 0;
}

interface Open {
  servers: Server[];
  connections: Set<Socket>;
}

export class Forwards {
  readonly #host: ForwardHost;
  readonly #open = new Map<ForwardKey, Open>();
  #connections = 0;
  /** Why forwards of its record do not listen. */
  readonly faults = new Map<ForwardKey, string>();

  constructor(host: ForwardHost) {
    this.#host = host;
  }

  /** Listens. @returns the forward, with the port it got. Throws `conflict` or `usage`; nothing listens then. */
  async open({ address = null, port = null, path = null, guest }: Asked): Promise<Forward> {
    if (this.#open.size >= MAX_FORWARDS)
      throw new EngineError(
        "conflict",
        `sandbox ${this.#host.record.name} already has ${MAX_FORWARDS} forwards, which is the limit`,
      );
    const connections = new Set<Socket>();
    const create = (): Server =>
      createServer(
        { allowHalfOpen: true, noDelay: true },
        (socket) => void this.#carry(socket, guest, connections),
      );
    if (path !== null) {
      if (this.#open.has(path)) throw new EngineError("conflict", `${path} is already a forward`);
      const server = create();
      await listenAtPath(server, path, this.#host.sockets);
      this.#open.set(path, { servers: [server], connections });
      return { address: null, port: null, path, guest };
    }
    const asked = port ?? 0;
    try {
      const servers = await listenOn(create, address === null ? LOOPBACK : [address], asked);
      const got = portOf(servers[0]) ?? asked;
      this.#open.set(got, { servers, connections });
      return { address, port: got, path: null, guest };
    } catch (error) {
      throw await explain(error, address, asked);
    }
  }

  /** All of them, or none: throws as `open`, and nothing of them listens then. */
  async openAll(asked: readonly ForwardRequest[]): Promise<Forward[]> {
    const made: Forward[] = [];
    try {
      for (const forward of asked) made.push(await this.open(forward));
      return made;
    } catch (error) {
      for (const forward of made) this.close(keyOf(forward));
      throw error;
    }
  }

  /** Listens again for what an earlier daemon has left. Never rejects: what fails is in `faults`. */
  async restore(forwards: readonly Forward[]): Promise<void> {
    await Promise.all(
      forwards.map((forward) =>
        this.open(forward).catch((error: Error) => void this.faults.set(keyOf(forward), error.message)),
      ),
    );
  }

  /** Ends a forward and its connections. @returns whether there was one */
  close(key: ForwardKey): boolean {
    this.faults.delete(key);
    const open = this.#open.get(key);
    for (const server of open?.servers ?? []) server.close();
    for (const socket of open?.connections ?? []) reset(socket);
    return this.#open.delete(key);
  }

  closeAll(): void {
    for (const key of [...this.#open.keys()]) this.close(key);
  }

  /** Each connection stands alone: what becomes of it ends no other. */
  async #carry(socket: Socket, guest: number | string, connections: Set<Socket>): Promise<void> {
    socket.on("error", () => {});
    if (this.#connections >= MAX_CONNECTIONS) return reset(socket);
    this.#connections += 1;
    connections.add(socket);
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
      connections.delete(socket);
      this.#connections -= 1;
    }
  }
}

/** As a client asks, or as a record has it. */
type Asked = { [Key in keyof ForwardRequest]: ForwardRequest[Key] | null } & Pick<ForwardRequest, "guest">;

async function explain(error: unknown, address: string | null, port: number): Promise<EngineError> {
  const { code, message } = error as NodeJS.ErrnoException;
  const where = `${address ?? "127.0.0.1 and ::1"} port ${port}`;
  if (code === "EADDRINUSE") {
    const holder = await holderOf(port);
    return new EngineError("conflict", `${where} is taken${holder === null ? "" : ` by ${holder}`}`, {
      hint: `0:GUEST takes any port; ss -ltnp 'sport = :${port}' shows who uses it`,
    });
  }
  if (code === "EACCES")
    return new EngineError("usage", `${where}: ports below 1024 need a daemon that runs as root`, {
      hint: "use a port from 1024 on, or 0",
    });
  if (code === "EADDRNOTAVAIL") return new EngineError("usage", `${address} is not an address of this host`);
  return new EngineError("conflict", `${where}: ${message}`);
}
