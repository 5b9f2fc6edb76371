/** An exec's output with its times, as records over plain HTTP: the reader sets the pace. */
import { Readable } from "node:stream";
import { z } from "zod";
import { channel, LOG_RECORD_HEADER_BYTES } from "../../api/channels.ts";
import type { LogStatus } from "../../api/schema.ts";
import type { Exec } from "../../engine/execs/exec.ts";
import { followExec } from "../../engine/execs/follow.ts";
import { endOf, type Position, positionOf } from "../../engine/execs/positions.ts";
import type { App, DaemonContext } from "../context.ts";
import { apiErrorOf } from "../errors.ts";
import { execView } from "../views.ts";
import { findExec } from "./execs.ts";

const MAX_TAIL_LINES = 1_000_000;

const params = z.object({ sandbox: z.string().max(200), exec: z.string().max(64) });
const count = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const querystring = z.object({
  /** Milliseconds since the epoch. */
  since: count.optional(),
  /** Lines of both channels together. */
  tail: count.max(MAX_TAIL_LINES).optional(),
  follow: z.enum(["0", "1"]).optional(),
  /** Offsets to go on from, instead of `since` and `tail`. */
  out: count.optional(),
  err: count.optional(),
  /** Offsets to end at, instead of the end as it is now. `tail` counts the lines before them. */
  untilOut: count.optional(),
  untilErr: count.optional(),
  /** The bytes of both channels as they came, for a link that saves them. */
  as: z.enum(["text"]).optional(),
});

export function logRoutes(app: App, { engine }: DaemonContext): void {
  app.get(
    "/v1/sandboxes/:sandbox/execs/:exec/logs",
    { schema: { params, querystring } },
    async (request, reply) => {
      const exec = findExec(engine, request.params.sandbox, request.params.exec);
      const { since, tail, follow, out, err, untilOut, untilErr, as } = request.query;
      const gone = new AbortController();
      reply.raw.on("close", () => gone.abort());
      const end = endOf(exec.log);
      const until = {
        out: Math.min(untilOut ?? end.out, end.out),
        err: Math.min(untilErr ?? end.err, end.err),
      };
      const from =
        out !== undefined || err !== undefined
          ? { out: out ?? 0, err: err ?? 0 }
          : await positionOf(exec.log, { sinceMs: since, tail, end: until });
      const how = { from, until, follow: follow === "1", signal: gone.signal };
      if (as === "text")
        return reply
          .type("text/plain; charset=utf-8")
          .header(
            "content-disposition",
            `attachment; filename="${exec.record.id.replace(/[^\w.-]/g, "_")}.log"`,
          )
          .send(Readable.from(textOf(exec, how), { objectMode: false }));
      const records = recordsOf(exec, how);
      return reply.type("application/octet-stream").send(Readable.from(records));
    },
  );
}

interface Part {
  from: Position;
  until: Position;
  follow: boolean;
  signal: AbortSignal;
}

async function* textOf(exec: Exec, part: Part): AsyncGenerator<Buffer, void> {
  for await (const piece of followExec(exec, part)) if ("data" in piece) yield piece.data;
}

async function* recordsOf(exec: Exec, options: Part): AsyncGenerator<Buffer, void> {
  const { from, until } = options;
  yield status({ type: "from", out: from.out, err: from.err, end: until });
  try {
    for await (const piece of followExec(exec, options)) {
      if ("data" in piece) yield record(piece.channel, piece);
      else
        yield status({
          type: "dropped",
          channel: piece.channel === channel.stdout ? "out" : "err",
          offset: piece.droppedUntil,
        });
    }
    if (!options.signal.aborted) yield status({ type: "end", exec: execView(exec) });
  } catch (error) {
    yield status({ type: "error", error: apiErrorOf(error).error });
  }
}

function status(message: LogStatus): Buffer {
  return record(channel.status, {
    timeMs: Date.now(),
    offset: 0,
    data: Buffer.from(JSON.stringify(message)),
  });
}

function record(of: number, piece: { timeMs: number; offset: number; data: Buffer }): Buffer {
  const head = Buffer.alloc(LOG_RECORD_HEADER_BYTES);
  head[0] = of;
  head.writeUInt32LE(piece.data.length, 4);
  head.writeBigUInt64LE(BigInt(piece.timeMs), 8);
  head.writeBigUInt64LE(BigInt(piece.offset), 16);
  return Buffer.concat([head, piece.data]);
}
