import type { ServerResponse } from "node:http";
import type { FastifyBaseLogger } from "fastify";
import { z } from "zod";
import type { EventRecord } from "../../api/event.ts";
import { eventsQuery } from "../../api/schema.ts";
import type { Engine } from "../../engine/engine.ts";
import { EngineError } from "../../engine/errors.ts";
import type { App, DaemonContext } from "../context.ts";

const MAX_LISTENERS = 500;
/** Sent at once to one listener. */
const PIECE = 200;
/** Keeps connections alive, and finds out those that are dead. */
const PING_MS = 15_000;
/** A listener that takes nothing for this long is dropped. */
const SLOW_MS = 30_000;
/** The reason waits this long to be taken. */
const GOODBYE_MS = 5_000;

/** `GET /v1/events`: server-sent events. A listener that is too slow loses its connection, not events: it comes back with the last id it had. */
export function eventRoutes(app: App, { engine }: DaemonContext): void {
  let listeners = 0;
  app.get(
    "/v1/events",
    {
      schema: {
        querystring: eventsQuery,
        headers: z.object({
          "last-event-id": z
            .string()
            .regex(/^\d{1,15}$/)
            .optional(),
        }),
      },
    },
    async (request, reply) => {
      const { since, sandbox, follow } = request.query;
      const last = request.headers["last-event-id"];
      const follows = follow === "1";
      const from = last === undefined ? (since ?? (follows ? engine.events.lastId : 0)) : Number(last);
      if (listeners >= MAX_LISTENERS)
        throw new EngineError(
          "no-capacity",
          `there are already ${MAX_LISTENERS} event listeners, which is the limit`,
        );
      // An answer of 400 is possible only before the connection is taken over.
      const wanted = filterFor(engine, sandbox);
      listeners += 1;
      reply.hijack();
      reply.raw.once("close", () => {
        listeners -= 1;
      });
      new Listener(engine, { raw: reply.raw, log: request.log }, wanted).serve(from, follows);
    },
  );
}

/** One connection: it goes through the log at its own pace. */
class Listener {
  readonly #engine: Engine;
  readonly #raw: ServerResponse;
  readonly #log: FastifyBaseLogger;
  readonly #wanted: (event: EventRecord) => boolean;
  #cursor = 0;
  #follows = true;
  #full = false;

  constructor(
    engine: Engine,
    to: { raw: ServerResponse; log: FastifyBaseLogger },
    wanted: (event: EventRecord) => boolean,
  ) {
    this.#engine = engine;
    this.#raw = to.raw;
    this.#log = to.log;
    this.#wanted = wanted;
  }

  serve(since: number, follows: boolean): void {
    const { events } = this.#engine;
    this.#follows = follows;
    this.#raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.#raw.flushHeaders();
    this.#cursor = since;
    // What is asked for is no longer kept, or is of another log than this.
    if ((since > 0 && events.hasForgotten(since)) || since > events.lastId) {
      this.#raw.write(
        `event: gap\ndata: ${JSON.stringify({ since, oldest: events.oldestId, last: events.lastId })}\n\n`,
      );
      this.#cursor = 0;
    }
    // Where a client that got nothing yet goes on from when it has to come back.
    this.#raw.write(`id: ${this.#cursor}\n\n`);
    const stop = events.listen(() => this.#pump());
    const ping = setInterval(() => {
      if (!this.#full) this.#raw.write(": ping\n\n");
    }, PING_MS);
    this.#raw.once("close", () => {
      stop();
      clearInterval(ping);
    });
    this.#raw.on("error", () => {});
    this.#pump();
  }

  #pump(): void {
    const { events } = this.#engine;
    if (this.#full || this.#raw.destroyed || this.#raw.writableEnded) return;
    for (;;) {
      if (this.#cursor > 0 && events.hasForgotten(this.#cursor))
        return this.#drop(`events after ${this.#cursor} are no longer kept`);
      const piece = events.after(this.#cursor, PIECE);
      const end = piece.at(-1);
      if (!end) break;
      this.#cursor = end.id;
      const text = piece.filter(this.#wanted).map(format).join("");
      if (text !== "" && !this.#raw.write(text)) return this.#waitForRoom();
    }
    if (!this.#follows) this.#raw.end();
  }

  /** Says why, to a listener that reads after all, and to the log. */
  #drop(reason: string): void {
    this.#log.warn({ reason, after: this.#cursor }, "an event listener was dropped");
    this.#raw.end(`event: dropped\ndata: ${JSON.stringify({ reason })}\n\n`);
    const late = setTimeout(() => this.#raw.destroy(), GOODBYE_MS);
    this.#raw.once("close", () => clearTimeout(late));
  }

  #waitForRoom(): void {
    this.#full = true;
    const slow = setTimeout(() => this.#drop(`the client read nothing for ${SLOW_MS / 1000} s`), SLOW_MS);
    this.#raw.once("close", () => clearTimeout(slow));
    this.#raw.once("drain", () => {
      clearTimeout(slow);
      this.#full = false;
      this.#pump();
    });
  }
}

function format(event: EventRecord): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** One that is gone is still found by the id and the name it had. */
function filterFor(engine: Engine, reference: string | undefined): (event: EventRecord) => boolean {
  if (reference === undefined) return () => true;
  let id = reference;
  try {
    id = engine.sandbox(reference).id;
  } catch (error) {
    if (!(error instanceof EngineError && error.code === "not-found")) throw error;
  }
  return (event) => event.sandbox !== null && (event.sandbox === id || event.name === reference);
}
