/**
 * The way out of one sandbox: every connection that a program in it opens comes here, is judged by name, dialled from this host, checked against
 * what its first bytes say, and noted. The guest is hostile; what it does ends its own connection and nothing else.
 */
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { NetworkEntry } from "../../api/network.ts";
import { HOST_NAME } from "../../api/network-rule.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { duplexOf } from "../../runners/agent/duplex.ts";
import type { Connect } from "../../runners/agent/messages.ts";
import type { Offer } from "../../runners/agent/offers.ts";
import { closedReason, unmapped } from "./addresses.ts";
import { dial } from "./dial.ts";
import { type FirstBytes, firstBytes } from "./first-bytes.ts";
import { Refused, refuseHttp, relayHttp } from "./http-relay.ts";
import { bothClosed, reset } from "./join.ts";
import type { NetworkLog } from "./log.ts";
import type { Destination, EffectivePolicy, Verdict } from "./policy.ts";
import { sshDisconnect } from "./ssh-disconnect.ts";
import { credentials, dialProxy, dialThrough, NO_UPSTREAM, type Upstream } from "./upstream.ts";

const FIRST_BYTES_MS = 10_000;
/** A program that is told why it was refused reads that within this. */
const FAREWELL_MS = 10_000;
const HTTP_PORT = 80;
const SSH_PORT = 22;
const LOOPBACK = ["127.0.0.1", "::1"];
/** Addresses that are tried through a proxy. */
const MAX_PROXIED = 3;
/** A host behind a proxy may resolve no names at all: a listed name does not wait longer for that. */
const BLIND_MS = 1_000;

export interface EgressOptions {
  policy: EffectivePolicy;
  /** null: nothing is noted. */
  log: NetworkLog | null;
  /** Rejects with a reason for people. */
  resolve(name: string): Promise<string[]>;
  /** The proxy that this host has to use. */
  upstream?: (() => Upstream) | undefined;
  /** From its first byte on, a connection says within this what it is. */
  firstBytesMs?: number;
}

type Dial = (signal: AbortSignal) => Promise<Socket>;

interface Open {
  destination: Destination;
  end(reason: string): void;
}

export class Egress {
  readonly #log: NetworkLog | null;
  readonly #resolve: EgressOptions["resolve"];
  readonly #upstream: () => Upstream;
  readonly #firstBytesMs: number;
  readonly #open = new Set<Open>();
  #policy: EffectivePolicy;

  constructor(options: EgressOptions) {
    const { policy, log, resolve, upstream = () => NO_UPSTREAM, firstBytesMs = FIRST_BYTES_MS } = options;
    this.#upstream = upstream;
    this.#firstBytesMs = firstBytesMs;
    this.#policy = policy;
    this.#log = log;
    this.#resolve = resolve;
  }

  /** Takes the connections of an agent's session from here on. */
  serve({ session }: Agent): void {
    session.offers.onConnect = (offer) => this.#take(offer);
  }

  /** Counts for new connections at once; open ones that it does not allow end. */
  setPolicy(policy: EffectivePolicy): void {
    this.#policy = policy;
    for (const { destination, end } of [...this.#open]) {
      const verdict = policy.judge(destination);
      if (!verdict.allowed) end(`ended by a change of the policy: ${verdict.reason}`);
    }
  }

  /** A connection that this host itself wants, by the same rules. Rejects with a reason for people. @param host a name or an address */
  async dial(host: string, port: number, signal: AbortSignal): Promise<Socket> {
    const destination =
      isIP(host) === 0 ? { name: host, address: "", port } : { name: null, address: host, port };
    const verdict = this.#policy.judge(destination);
    if (!verdict.allowed) throw new Refused(verdict.reason);
    return (await this.#reach(destination, verdict))(signal);
  }

  #take(offer: Offer): void {
    const { name = null, address, port } = offer.request;
    const destination = { name, address, port };
    const verdict = this.#policy.judge(destination);
    const record = new Record(offer.request, verdict, this.#policy.mode === "audit");
    if (!verdict.allowed) {
      if (port !== HTTP_PORT && port !== SSH_PORT) offer.refuse(verdict.reason);
      else turnAway(duplexOf(offer.take()), port, verdict.reason);
      this.#log?.add(record.denied(verdict.reason, port === HTTP_PORT ? "http" : "tcp"));
      return;
    }
    const guest = duplexOf(offer.take());
    guest.on("error", () => {});
    guest.setMaxListeners(0);
    const end = (reason: string): void => {
      record.denied(reason);
      reset(guest);
    };
    const open = { destination, end };
    this.#open.add(open);
    guest.once("close", () => {
      this.#open.delete(open);
      this.#log?.add(record.ended());
    });
    this.#carry(guest, destination, verdict, record).catch((error: Error) => {
      if (error instanceof Refused) record.denied(error.message);
      else record.failed(error.message);
      reset(guest);
    });
  }

  async #carry(guest: Duplex, destination: Destination, verdict: Verdict, record: Record): Promise<void> {
    const { name, port } = destination;
    const abort = new AbortController();
    guest.once("close", () => abort.abort());
    let reach: Promise<Dial> | null = null;
    const connect = async (): Promise<Socket> => {
      reach ??= this.#reach(destination, verdict);
      reach.catch(() => {});
      return watched(await (await reach)(abort.signal));
    };
    const watched = (socket: Socket): Socket => {
      record.dialled(socket);
      guest.once("close", () => (guest.errored ? reset(socket) : socket.destroySoon()));
      return socket;
    };
    if (name === null || name === HOST_NAME) return raw(guest, await connect());
    const wanted = (seen: string | null): boolean =>
      seen === name ||
      (!verdict.byName && seen !== null && this.#policy.judge({ ...destination, name: seen }).allowed);
    if (verdict.byName && port === HTTP_PORT) {
      const { first, rest } = await sniff(guest, this.#firstBytesMs);
      if (first.kind === "other" && rest.length === 0 && guest.destroyed) return;
      if (first.kind !== "http") throw new Refused(`what was sent to ${name}:${port} is not HTTP/1`);
      const proxy = this.#upstream().plain(name, port);
      const plain = proxy && { proxy, dial: async () => watched(await dialProxy(proxy, abort.signal)) };
      return this.#http(guest, { name, port, connect, record, plain });
    }
    const upstream = await connect();
    // Some servers speak first.
    upstream.pipe(guest);
    const gone = (): void => reset(guest);
    upstream.once("close", gone);
    const { first, rest } = await sniff(guest, this.#firstBytesMs);
    upstream.off("close", gone);
    if (first.kind === "tls") {
      record.protocol = "tls";
      if (!wanted(first.name))
        throw new Refused(
          `TLS for ${first.name ?? "no name"} within a connection to ${name}: they must be the same`,
        );
    }
    if (first.kind === "broken") throw new Refused(first.why);
    if (first.kind === "http2" && verdict.byName)
      throw new Refused("HTTP/2 without TLS: its names can't be checked");
    if (first.kind === "http" && verdict.byName) {
      upstream.unpipe(guest);
      // Taken out of a pipe it would stand still, for its next reader too.
      upstream.resume();
      const again = once(upstream, connect);
      return this.#http(guest, { name, port, connect: again, record });
    }
    if (rest.length > 0) upstream.write(rest);
    guest.pipe(upstream);
    await bothClosed(guest, upstream);
  }

  #http(
    guest: Duplex,
    to: {
      name: string;
      port: number;
      connect: () => Promise<Socket>;
      record: Record;
      /** The proxy that takes such requests as they are. */
      plain?: { proxy: URL; dial: () => Promise<Socket> } | null;
    },
  ): void {
    const { name, port, connect, record, plain = null } = to;
    record.protocol = "http";
    relayHttp(guest, {
      ...{ name, port, dial: plain?.dial ?? connect, tunnel: connect },
      through: plain && { prefix: `http://${name}:${port}`, headers: credentials(plain.proxy) },
      refused: (reason) => void record.denied(reason),
      failed: (reason) => record.failed(reason),
    });
  }

  /** How this connection is made, each time anew. A name that a rule lists is the proxy's to resolve; others are pinned to an open address. */
  async #reach(destination: Destination, { byName }: Verdict): Promise<Dial> {
    const { name, address, port } = destination;
    const isOurs = name === HOST_NAME || (name === null && closedReason(address) !== null);
    const proxy = isOurs ? null : this.#upstream().tunnel(name ?? address, port);
    if (proxy !== null && name !== null && byName) {
      await this.#notOnlyClosed(destination);
      return (signal) => dialThrough(proxy, name, port, signal);
    }
    const addresses = await this.#pinned(destination);
    if (proxy === null) return (signal) => dial(addresses, port, signal);
    return (signal) =>
      firstOf(addresses.slice(0, MAX_PROXIED), (one) => dialThrough(proxy, one, port, signal));
  }

  /** As far as this host can tell within a moment. */
  async #notOnlyClosed(destination: Destination): Promise<void> {
    const abort = new AbortController();
    const late = sleep(BLIND_MS, undefined, { signal: abort.signal }).catch(() => {});
    const checked = this.#pinned(destination).then(
      () => {},
      (error: Error) => {
        if (error instanceof Refused) throw error;
      },
    );
    checked.catch(() => {});
    await Promise.race([checked, late]).finally(() => abort.abort());
  }

  /** The addresses that are dialled for this connection, whatever the name leads to later. */
  async #pinned({ name, address, port }: Destination): Promise<string[]> {
    if (name === null) return [address];
    if (name === HOST_NAME) return LOOPBACK;
    const found = (await this.#resolve(name)).map(unmapped);
    const faults = found.map((one) => this.#policy.addressFault(one, port));
    const open = found.filter((_, index) => faults[index] === null);
    if (open.length > 0) return open;
    throw new Refused(
      `${name} leads to ${found.length === 1 ? "" : "nothing but closed addresses: "}${faults[0]}`,
    );
  }
}

/** What will be noted of a connection. */
class Record {
  readonly #request: Connect;
  readonly #started = performance.now();
  readonly #time = new Date().toISOString();
  readonly #sockets: Socket[] = [];
  readonly #rule: string | null;
  #verdict: NetworkEntry["verdict"];
  #reason: string;
  #address: string | null = null;
  protocol: NetworkEntry["protocol"] = "tcp";

  constructor(request: Connect, verdict: Verdict, audits: boolean) {
    this.#request = request;
    this.#rule = verdict.rule;
    this.#reason = verdict.reason;
    this.#verdict = audits && verdict.rule === null ? "audited" : "allowed";
  }

  dialled(socket: Socket): void {
    this.#sockets.push(socket);
    this.#address ??= socket.remoteAddress ?? null;
  }

  denied(reason: string, protocol = this.protocol): NetworkEntry {
    this.#verdict = "denied";
    this.#reason = reason;
    this.protocol = protocol;
    return this.ended();
  }

  failed(reason: string): void {
    if (this.#verdict === "denied") return;
    this.#verdict = "failed";
    this.#reason = reason;
  }

  ended(): NetworkEntry {
    const { name = null, address, port, exec = null, process = null, pid = null, uid = null } = this.#request;
    const sum = (of: (socket: Socket) => number): number =>
      this.#sockets.reduce((all, socket) => all + of(socket), 0);
    return {
      ...{ time: this.#time, exec, process, pid, uid, name, port, protocol: this.protocol },
      address: this.#address ?? (name === null ? address : null),
      sent: sum(({ bytesWritten }) => bytesWritten),
      received: sum(({ bytesRead }) => bytesRead),
      durationMs: Math.round(performance.now() - this.#started),
      ...{ verdict: this.#verdict, rule: this.#rule, reason: this.#reason },
    };
  }
}

async function firstOf<T>(
  addresses: readonly string[],
  dialOne: (address: string) => Promise<T>,
): Promise<T> {
  let fault: unknown;
  for (const address of addresses) {
    try {
      return await dialOne(address);
    } catch (error) {
      fault = error;
    }
  }
  throw fault;
}

async function raw(guest: Duplex, upstream: Socket): Promise<void> {
  guest.pipe(upstream);
  upstream.pipe(guest);
  await bothClosed(guest, upstream);
}

/** The first call gets the connection that there is already. */
function once(first: Socket, more: () => Promise<Socket>): () => Promise<Socket> {
  let unused: Socket | null = first;
  return async () => {
    const socket = unused;
    unused = null;
    return socket && !socket.destroyed ? socket : more();
  };
}

interface Sniffed {
  first: FirstBytes;
  /** What was read and could not be put back: the connection has ended behind it. */
  rest: Buffer;
}

/** Reads until it is clear what the connection is, and puts back what was read. Waits for ever for the first byte, not for the others. */
function sniff(guest: Duplex, ms: number): Promise<Sniffed> {
  const { promise, resolve } = Promise.withResolvers<Sniffed>();
  let seen: Buffer = Buffer.alloc(0);
  let timer: NodeJS.Timeout | undefined;
  const done = (first: FirstBytes, rest: Buffer = Buffer.alloc(0)): void => {
    clearTimeout(timer);
    guest.off("readable", read);
    guest.off("end", ended);
    guest.off("close", ended);
    if (seen.length > 0 && rest.length === 0) guest.unshift(seen);
    seen = Buffer.alloc(0);
    resolve({ first, rest });
  };
  const ended = (): void => {
    // The beginning of TLS or HTTP is no whole one.
    const begins = seen[0] === 22 || /HTTP\//i.test(seen.toString("latin1"));
    done(
      begins ? { kind: "broken", why: "it ended before it had said what it is" } : { kind: "other" },
      seen,
    );
  };
  const read = (): void => {
    for (let chunk = guest.read(); chunk !== null; chunk = guest.read()) seen = Buffer.concat([seen, chunk]);
    const first = firstBytes(seen);
    if (first.kind !== "more") return done(first);
    if (seen.length === 0) return;
    const late = { kind: "broken", why: `its first bytes did not come within ${ms / 1000} s` } as const;
    timer ??= setTimeout(() => done(late), ms);
  };
  guest.on("readable", read);
  guest.once("end", ended);
  guest.once("close", ended);
  read();
  return promise;
}

/** Ends a connection in a way that its program understands. */
function turnAway(guest: Duplex, port: number, reason: string): void {
  guest.on("error", () => {});
  const timer = setTimeout(() => guest.destroy(), FAREWELL_MS);
  guest.once("close", () => clearTimeout(timer));
  if (port === HTTP_PORT) return refuseHttp(guest, reason);
  guest.resume();
  guest.end(sshDisconnect(`thaw: ${reason}`));
}
