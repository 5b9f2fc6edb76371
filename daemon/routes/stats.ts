/** What all sandboxes use of the host: once, or after each interval. */
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { type StatsSample, statsQuery } from "../../api/schema.ts";
import { EngineError } from "../../engine/errors.ts";
import type { App, DaemonContext } from "../context.ts";
import { goneSignal } from "../gone.ts";
import { StatsSampler } from "../stats-sampler.ts";

const MAX_FOLLOWERS = 100;

export function statsRoutes(app: App, { engine }: DaemonContext): void {
  const sampler = new StatsSampler(() => engine.sandboxes);
  let followers = 0;
  app.get("/v1/stats", { schema: { querystring: statsQuery } }, async (request, reply) => {
    const { follow, intervalMs } = request.query;
    if (followers >= MAX_FOLLOWERS)
      throw new EngineError(
        "no-capacity",
        `there are already ${MAX_FOLLOWERS} followers of stats, which is the limit`,
      );
    followers += 1;
    reply.raw.once("close", () => {
      followers -= 1;
    });
    const samples = follow === "1" ? again(sampler, intervalMs, goneSignal(reply)) : once(sampler);
    return reply.type("application/x-ndjson").send(Readable.from(asLines(samples), { highWaterMark: 1 }));
  });
}

async function* once(sampler: StatsSampler): AsyncGenerator<StatsSample, void> {
  yield await sampler.sample();
}

/** A reader that is slow gets fewer samples, and none that is old. */
async function* again(
  sampler: StatsSampler,
  intervalMs: number,
  signal: AbortSignal,
): AsyncGenerator<StatsSample, void> {
  while (!signal.aborted) {
    yield await sampler.sample();
    await pause(intervalMs, undefined, { signal }).catch(() => {});
  }
}

async function* asLines(samples: AsyncIterable<StatsSample>): AsyncGenerator<string, void> {
  for await (const sample of samples) yield `${JSON.stringify(sample)}\n`;
}
