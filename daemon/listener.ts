/** A TCP listener that the configuration turns on, moves and turns off while the daemon runs. A port that is taken ends nothing. */
import type { Server } from "node:http";
import { isIPv6 } from "node:net";
import { listenOn, portOf } from "../engine/sandboxes/listen.ts";
import type { Probe } from "../runners/runner.ts";
import { parseListen } from "./preview/settings.ts";

/** What can't listen is tried again after this long. */
const RETRY_MS = 5_000;

export interface Served {
  /** ADDRESS:PORT. */
  address: string;
  /** Makes a server that does not listen yet. */
  create: () => Server;
  /** What its address begins with and ends with, for people. */
  url: { scheme: "http" | "https"; path: string };
}

export interface ListenerOptions<Wanted> {
  /** In the list of `thaw doctor`. */
  name: string;
  /** A clause: `metrics are not served`. */
  failure: string;
  /** The key in config.yaml. */
  key: string;
  /** Throws what makes it impossible. */
  serve: (wanted: Wanted) => Promise<Served>;
  onFailure: (message: string) => void;
}

export class Listener<Wanted> {
  readonly #options: ListenerOptions<Wanted>;
  #wanted: Wanted | undefined;
  #servers: Server[] = [];
  #url: string | null = null;
  #failure: string | null = null;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** Changes of where it listens, one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ListenerOptions<Wanted>) {
    this.#options = options;
  }

  /** Listens there from now on, or nowhere. Failures are in the probe. */
  configure(wanted: Wanted | undefined): void {
    if (JSON.stringify(wanted) === JSON.stringify(this.#wanted)) return;
    this.#wanted = wanted;
    this.#change();
  }

  /** The line of `thaw doctor`: none where nothing is asked for. */
  async probes(): Promise<Probe[]> {
    await this.#turn;
    if (this.#wanted === undefined) return [];
    const { name, key } = this.#options;
    const about = { name, fatal: false };
    if (this.#failure === null) return [{ ...about, state: "ok", detail: this.#url ?? "" }];
    const hint = `correct ${key} in config.yaml; thaw tries again every ${RETRY_MS / 1000} seconds`;
    return [{ ...about, state: "warning", detail: this.#failure, hint }];
  }

  /** The port that it listens on now; null: it does not. */
  async port(): Promise<number | null> {
    await this.#turn;
    return portOf(this.#servers[0]) ?? null;
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

  async #listen(wanted: Wanted): Promise<void> {
    let at = "";
    try {
      const { address, create, url } = await this.#options.serve(wanted);
      at = ` at ${address}`;
      const { host, port } = parseListen(address);
      this.#servers = await listenOn(create, host === "localhost" ? ["127.0.0.1", "::1"] : [host], port);
      this.#url = `${url.scheme}://${isIPv6(host) ? `[${host}]` : host}:${portOf(this.#servers[0])}${url.path}`;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === "EADDRINUSE" ? "the port is taken" : message;
      this.#failure = `${this.#options.failure}${at}: ${why}`;
      this.#options.onFailure(this.#failure);
      this.#retry = setTimeout(() => this.#change(), RETRY_MS).unref();
    }
  }

  #stop(): void {
    clearTimeout(this.#retry);
    this.#url = null;
    for (const server of this.#servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  }
}
