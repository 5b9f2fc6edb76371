/**
 * Serves what listens in sandboxes to browsers, at a listener of its own: nothing of the daemon's API is there. docs/NETWORK.md, "Previews".
 * Whoever asks is hostile, and so is what answers.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { Preview } from "../../api/preview.ts";
import type { Engine } from "../../engine/engine.ts";
import { EngineError } from "../../engine/errors.ts";
import { listenOn, portOf } from "../../engine/sandboxes/listen.ts";
import type { Sandbox as EngineSandbox } from "../../engine/sandboxes/sandbox.ts";
import { readRecord, recordKind, valueOrNull, writeRecord } from "../../engine/state/record.ts";
import { type Jar, ticketCookie, ticketsIn } from "./cookies.ts";
import { isOwnRequest } from "./origin.ts";
import { FORBIDDEN, MISDIRECTED, type Page, sendPage } from "./pages.ts";
import { type Place, type Placed, placeOf, takeParameter } from "./place.ts";
import type { Target } from "./relay.ts";
import { addressOf, type Settings, settingsOf } from "./settings.ts";
import { Tickets } from "./tickets.ts";
import { Wakers } from "./waking.ts";

const TICKET = "thaw-ticket";
const KEY_BYTES = 32;
const HEADERS_MS = 15_000;
const KEEP_ALIVE_MS = 5_000;
/** Connections of all browsers together. */
const MAX_CONNECTIONS = 1_024;
/** Requests of one sandbox at a time. */
const MAX_REQUESTS = 256;
/** A request waits as long for a sandbox that is being woken. */
const DIAL_MS = 30_000;

const kept = recordKind(
  "preview settings",
  z.object({
    /** Signs links and cookies, base64. */
    key: z.string().min(1),
    /** That the listener got, to be taken again. */
    port: z.int().min(0).max(65_535),
  }),
);

type Sandbox = Pick<EngineSandbox, "id" | "dial" | "acquireUse" | "wake"> & {
  record: Pick<EngineSandbox["record"], "name" | "state" | "frozen" | "previews">;
};

/** What previews need of the engine. */
interface Sandboxes {
  home: { root: string };
  readonly sandboxes: readonly Sandbox[];
  previewSettings: Engine["previewSettings"];
}

export interface PreviewOptions {
  engine: Sandboxes;
  /** ADDRESS:PORT of the command line. */
  listen: string | undefined;
}

export class Previews {
  readonly #engine: Sandboxes;
  readonly #listen: string | undefined;
  readonly #file: string;
  readonly #wakers = new Wakers();
  readonly #requests = new WeakMap<Sandbox, number>();
  #tickets = new Tickets(randomBytes(KEY_BYTES));
  #servers: Server[] = [];
  #settings: Settings | null = null;
  #port = 0;
  /** Changes of where it listens, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ engine, listen }: PreviewOptions) {
    this.#engine = engine;
    this.#listen = listen;
    this.#file = join(engine.home.root, "preview.json");
  }

  /** Listens if that was asked for, or was done by an earlier daemon. Rejects when it can't. */
  async begin(): Promise<void> {
    const { listen } = this.#engine.previewSettings();
    const isWanted = this.#listen !== undefined || listen !== undefined;
    if (isWanted || (await readRecord(this.#file, kept)).state === "ok") await this.#ensure();
  }

  /** Makes a link, or makes a port public. Throws `conflict`, `usage`. */
  async create(
    sandbox: Sandbox,
    { port, ttlMs, public: isPublic }: { port: number; ttlMs: number; public: boolean },
  ): Promise<Preview> {
    const settings = await this.#ensure();
    const url = addressOf(settings, { sandbox: sandbox.record.name, port }, this.#port);
    const issued = Date.now();
    const until = issued + ttlMs;
    const expiresAt = new Date(until).toISOString();
    const permit = { sandbox: sandbox.id, port, issued, until };
    if (!isPublic) url.searchParams.set(TICKET, this.#tickets.sign("link", permit));
    return { url: url.href, port, public: isPublic, expiresAt };
  }

  close(): void {
    for (const server of this.#servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  }

  /** Listens where the configuration says, which may have changed. */
  #ensure(): Promise<Settings> {
    const work = async (): Promise<Settings> => {
      const wanted = settingsOf(this.#engine.previewSettings(), this.#listen);
      const place = ({ addresses, port }: Settings): string => `${addresses.join()} ${port}`;
      const isThere = this.#settings !== null && place(this.#settings) === place(wanted);
      if (!isThere || this.#servers.length === 0) await this.#listenAt(wanted);
      this.#settings = wanted;
      return wanted;
    };
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #listenAt({ addresses, port }: Settings): Promise<void> {
    const known = valueOrNull(await readRecord(this.#file, kept));
    const key = known?.key ?? randomBytes(KEY_BYTES).toString("base64");
    this.#tickets = new Tickets(Buffer.from(key, "base64"));
    const ports = port === 0 && known?.port ? [known.port, 0] : [port];
    this.close();
    this.#servers = await this.#listenOnOne(addresses, ports);
    this.#port = portOf(this.#servers[0]) ?? port;
    const value = { key, port: this.#port };
    if (known?.key !== key || known.port !== this.#port)
      await writeRecord(this.#file, kept, value, { survives: "power-loss", mode: 0o600 });
  }

  async #listenOnOne(addresses: readonly string[], ports: readonly number[]): Promise<Server[]> {
    const [first = 0, ...others] = ports;
    try {
      return await listenOn(() => this.#server(), addresses, first);
    } catch (error) {
      if (others.length > 0) return this.#listenOnOne(addresses, others);
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === "EADDRINUSE" ? "is taken" : message;
      throw new EngineError(
        "conflict",
        `previews can't be served: ${addresses.join(", ")} port ${first}: ${why}`,
        {
          hint: "choose another address or port: preview.listen in config.yaml",
        },
      );
    }
  }

  #server(): Server {
    const server = createServer({
      headersTimeout: HEADERS_MS,
      // Uploads take as long as they take.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.on("request", (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      this.#serve(request, response).catch((error: Error) =>
        sendPage(response, { status: 502, title: "no answer", text: error.message }),
      );
    });
    server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => {});
      this.#upgrade(request, socket, head).catch(() => socket.destroy());
    });
    server.on("connect", (_request, socket) => socket.destroy());
    return server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const place = this.#placeOf(request);
    if (place === "elsewhere") return sendPage(response, MISDIRECTED);
    if (place === "nowhere") return sendPage(response, FORBIDDEN);
    const { url, value: ticket } = takeParameter(request.url ?? "/", TICKET);
    if (ticket !== null) return this.#admit(response, { place, ticket, url });
    const found = this.#allowed(request, place);
    if (found === null) return sendPage(response, FORBIDDEN);
    // What is relative to it would lead elsewhere.
    if (place.path === "" || place.path.startsWith("?"))
      return redirect(response, `${place.prefix}${place.path}`);
    if (request.method === "GET" && wantsPage(request)) {
      const page = await this.#wakingPage(found);
      if (page !== null) return sendPage(response, page);
    }
    const failed = (error: Error): void => sendPage(response, whyNot(found, place.port, error));
    const release = this.#hold(found);
    if (release === null)
      return sendPage(response, {
        ...{ status: 503, title: "too many requests" },
        text: `Sandbox ${found.record.name} already serves ${MAX_REQUESTS} requests, which is the limit.`,
      });
    response.once("close", release);
    const { relay } = await import("./relay.ts");
    await relay(request, response, this.#target(request, { place, sandbox: found, failed }));
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const place = this.#placeOf(request);
    const found = typeof place === "string" ? null : this.#allowed(request, place);
    if (found === null || typeof place === "string")
      return void socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    const release = this.#hold(found);
    if (release === null) return void socket.destroy();
    socket.once("close", release);
    const failed = (): void => {
      if (socket.writable)
        socket.end("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    const { relayUpgrade } = await import("./relay.ts");
    await relayUpgrade(request, socket, head, this.#target(request, { place, sandbox: found, failed }));
  }

  #placeOf({ headers, url = "" }: IncomingMessage): Placed {
    const { host } = headers;
    if (this.#settings === null || host === undefined) return "elsewhere";
    return placeOf(this.#settings, { host, url });
  }

  /** A link was followed: its ticket becomes a cookie, and leaves the address. */
  #admit(
    response: ServerResponse,
    { place, ticket, url }: { place: Place; ticket: string; url: string },
  ): void {
    const now = Date.now();
    const permit = this.#tickets.read("link", ticket, now);
    const sandbox = permit && this.#find(place);
    if (!permit || !sandbox || !isFor(permit, sandbox, place.port)) return sendPage(response, FORBIDDEN);
    const cookie = ticketCookie(
      this.#tickets.sign("cookie", permit),
      this.#jar(sandbox, place),
      permit.until - now,
    );
    redirect(response, url, { "set-cookie": cookie });
  }

  /** The sandbox, if whoever asks may look; null as well when there is none. */
  #allowed(request: IncomingMessage, place: Place): Sandbox | null {
    const sandbox = this.#find(place);
    if (sandbox === null) return null;
    const now = Date.now();
    const grant = sandbox.record.previews.find(({ port }) => port === place.port);
    if (grant?.publicUntil && Date.parse(grant.publicUntil) > now) return sandbox;
    const { method = "", headers } = request;
    const isAllowed = ticketsIn(headers.cookie)
      .map((ticket) => this.#tickets.read("cookie", ticket, now))
      .some((permit) => permit !== null && isFor(permit, sandbox, place.port));
    return isAllowed && isOwnRequest(method, headers, place.prefix) ? sandbox : null;
  }

  #find({ sandbox: name }: Place): Sandbox | null {
    return this.#engine.sandboxes.find(({ id, record }) => id === name || record.name === name) ?? null;
  }

  #jar({ id }: Sandbox, { prefix, port }: Place): Jar {
    const isSecure = this.#settings?.base?.protocol === "https:";
    return { prefix, isSecure, tag: this.#tickets.tag(id, port) };
  }

  #target(
    { headers }: IncomingMessage,
    { place, sandbox, failed }: { place: Place; sandbox: Sandbox; failed: (error: Error) => void },
  ): Target {
    const { port, path } = place;
    const protocol = this.#settings?.base?.protocol ?? "http:";
    return {
      ...{ path, failed, jar: this.#jar(sandbox, place), origin: `${protocol}//${headers.host}` },
      dial: () => within(DIAL_MS, sandbox.dial(port)),
    };
  }

  async #wakingPage(sandbox: Sandbox): Promise<Page | null> {
    const result = await this.#wakers.wake(sandbox);
    const { name } = sandbox.record;
    if (result === "up") return null;
    if (result === "waking")
      return {
        status: 503,
        title: `resuming ${name}…`,
        text: "This page reloads automatically.",
        refresh: true,
      };
    return { status: 502, title: `${name} could not be resumed`, text: result.failure };
  }

  /** Keeps it from being idle. null: it has too many requests. */
  #hold(sandbox: Sandbox): (() => void) | null {
    const count = this.#requests.get(sandbox) ?? 0;
    if (count >= MAX_REQUESTS) return null;
    this.#requests.set(sandbox, count + 1);
    const release = sandbox.acquireUse();
    return () => {
      release();
      this.#requests.set(sandbox, (this.#requests.get(sandbox) ?? 1) - 1);
    };
  }
}

function isFor(
  permit: { sandbox: string; port: number; issued: number },
  { id, record }: Sandbox,
  port: number,
): boolean {
  const since = record.previews.find((grant) => grant.port === port)?.linksSince ?? null;
  const isGood = since === null || permit.issued > Date.parse(since);
  return permit.sandbox === id && permit.port === port && isGood;
}

/** A page that a person opened, and no part of one. */
function wantsPage({ headers }: IncomingMessage): boolean {
  const { accept = "" } = headers;
  const dest = headers["sec-fetch-dest"];
  return dest === undefined ? accept.includes("text/html") : dest === "document" || dest === "iframe";
}

/** To an address of this host. One that begins with two slashes would be another's. */
function redirect(response: ServerResponse, url: string, headers: Record<string, string> = {}): void {
  const { pathname, search } = new URL(url, "http://preview.invalid");
  response.writeHead(303, {
    location: `${pathname.replace(/^\/+/, "/")}${search}`,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    ...headers,
  });
  response.end();
}

function whyNot({ record }: Sandbox, port: number, { message }: Error): Page {
  const text = `Port ${port} of sandbox ${record.name}: ${message}`;
  return { status: message === LATE ? 504 : 502, title: "no answer", text };
}

const LATE = "it did not answer in time";

async function within<T extends { destroy(): unknown }>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let isLate = false;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error(LATE));
    }, ms);
  });
  work.then(
    (made) => isLate && made.destroy(),
    () => {},
  );
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
