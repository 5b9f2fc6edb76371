/**
 * Where the page is. The configuration says it; where it says nothing, `thaw ui` has the daemon listen on this machine's loopback addresses. A later
 * daemon does so again as long as a session could use it: nobody is logged out by a daemon that was killed.
 */
import { z } from "zod";
import type { Config } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import {
  readRecord,
  readRecordNow,
  recordKind,
  valueOrNull,
  writeRecord,
} from "../../engine/state/record.ts";
import type { Listener } from "../listener.ts";
import { apiListenOf, pageUrlOf } from "./settings.ts";

type Listen = NonNullable<Config["listen"]>;

const DEFAULT_PORT = 7878;

const kept = recordKind(
  "page settings",
  z.object({
    /** That the listener got, to be taken again: links and bookmarks stay valid. */
    port: z.int().min(1).max(65_535),
  }),
);

/** Both loopback addresses: a browser may try either, and nobody else must answer. */
const onLoopback = (port: number): Listen => ({ address: `localhost:${port}` });

export class PageAddress {
  readonly #listener: Listener<Listen>;
  readonly #file: string;
  #configured: Listen | undefined;
  #own: Listen | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param hasSessions whether one of an earlier daemon is still valid */
  constructor({
    listener,
    file,
    hasSessions,
  }: {
    listener: Listener<Listen>;
    file: string;
    hasSessions: boolean;
  }) {
    this.#listener = listener;
    this.#file = file;
    const known = hasSessions ? valueOrNull(readRecordNow(file, kept)) : null;
    if (known !== null) this.#own = onLoopback(known.port);
  }

  /** What the configuration says. Goes before what `begin` does. */
  configure(listen: Listen | undefined): void {
    this.#configured = listen;
    this.#listener.configure(listen ?? this.#own);
  }

  /** Serves the page, unless it is served. Throws `conflict`. */
  begin(): Promise<void> {
    const done = this.#turn.then(() => this.#begin());
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Throws `conflict` when there is no page. */
  async url(): Promise<URL> {
    const listen = this.#configured ?? this.#own;
    if (listen === undefined)
      throw new EngineError("conflict", "this daemon serves no page", {
        hint: "on that host: thaw ui; for other machines: listen in config.yaml, see docs/HOSTS.md",
      });
    const port = await this.#listener.port();
    if (port === null) throw notServed();
    const url = pageUrlOf(apiListenOf(listen).page, port);
    if (url === null)
      throw new EngineError("conflict", "the page has no address", {
        hint: "listen.hosts or listen.base in config.yaml names it, see docs/HOSTS.md",
      });
    return url;
  }

  async #begin(): Promise<void> {
    if (this.#configured !== undefined) return;
    if (this.#own !== undefined && (await this.#listener.port()) !== null) return;
    const known = valueOrNull(await readRecord(this.#file, kept))?.port;
    for (const port of [known ?? DEFAULT_PORT, 0]) {
      this.#own = onLoopback(port);
      this.#listener.configure(this.#configured ?? this.#own);
      const got = await this.#listener.port();
      if (got === null) continue;
      if (got !== known) await writeRecord(this.#file, kept, { port: got }, { survives: "power-loss" });
      return;
    }
    this.#own = undefined;
    this.#listener.configure(this.#configured);
    throw notServed();
  }
}

function notServed(): EngineError {
  return new EngineError("conflict", "the page can't be served", { hint: "thaw doctor says why" });
}
