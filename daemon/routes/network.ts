/** What a sandbox may reach, and what it did. */
import { once } from "node:events";
import { Readable } from "node:stream";
import { z } from "zod";
import { type NetworkEntry, networkRequest, networkState } from "../../api/schema.ts";
import type { NetworkLog } from "../../engine/network/log.ts";
import type { App, DaemonContext } from "../context.ts";

/** Entries that wait for a slow reader. Beyond, the oldest are left out. */
const MAX_WAITING = 1_000;

const params = z.object({ sandbox: z.string().max(200) });
const querystring = z.object({
  follow: z.enum(["0", "1"]).optional(),
  denied: z.enum(["0", "1"]).optional(),
});

export function networkRoutes(app: App, { engine }: DaemonContext): void {
  const networkOf = async (reference: string) => {
    const { network } = engine.sandbox(reference);
    await network.ready();
    return network;
  };

  app.get(
    "/v1/sandboxes/:sandbox/network",
    { schema: { params, response: { 200: networkState } } },
    async (request) => (await networkOf(request.params.sandbox)).state,
  );

  app.put(
    "/v1/sandboxes/:sandbox/network",
    { schema: { params, body: networkRequest, response: { 200: networkState } } },
    async (request) => {
      const { id } = await engine.setNetwork(request.params.sandbox, request.body);
      return (await networkOf(id)).state;
    },
  );

  app.get(
    "/v1/sandboxes/:sandbox/network/log",
    { schema: { params, querystring } },
    async (request, reply) => {
      const network = await networkOf(request.params.sandbox);
      const { follow, denied } = request.query;
      const gone = new AbortController();
      reply.raw.on("close", () => gone.abort());
      const lines = entriesOf(network.log, { follow: follow === "1", signal: gone.signal });
      const wanted = (entry: NetworkEntry): boolean => denied !== "1" || entry.verdict === "denied";
      return reply.type("application/x-ndjson").send(Readable.from(asLines(lines, wanted)));
    },
  );
}

async function* asLines(
  entries: AsyncIterable<NetworkEntry>,
  wanted: (entry: NetworkEntry) => boolean,
): AsyncGenerator<string, void> {
  for await (const entry of entries) if (wanted(entry)) yield `${JSON.stringify(entry)}\n`;
}

/** What is kept, then, when following, what comes. */
async function* entriesOf(
  log: NetworkLog,
  { follow, signal }: { follow: boolean; signal: AbortSignal },
): AsyncGenerator<NetworkEntry, void> {
  const waiting = [...log.entries];
  const add = (entry: NetworkEntry): void => {
    waiting.push(entry);
    if (waiting.length > MAX_WAITING) waiting.shift();
  };
  if (follow) log.on("entry", add);
  try {
    for (;;) {
      for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) yield entry;
      if (!follow || signal.aborted) return;
      await once(log, "entry", { signal }).catch(() => {});
    }
  } finally {
    log.off("entry", add);
  }
}
