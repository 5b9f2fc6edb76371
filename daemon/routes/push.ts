/** Pushes on behalf of a page, which reaches no store: to the stores that the host's operator named, with the credentials of the daemon's user. */
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import { pushRequest, storeList } from "../../api/schema.ts";
import { formatSize } from "../../api/size.ts";
import { EngineError } from "../../engine/errors.ts";
import { accessOf } from "../access/guard.ts";
import type { Access } from "../access/tokens.ts";
import type { App, DaemonContext } from "../context.ts";
import { streamWork } from "../ndjson.ts";

const reference = z.string().max(200);
const PROGRESS_MS = 300;

export function pushRoutes(app: App, context: DaemonContext): void {
  app.get("/v1/stores", { schema: { response: { 200: storeList } } }, async () => ({
    stores: [...context.engine.stores()],
  }));

  const send = (sent: Sent, raw: IncomingMessage, reply: Parameters<typeof streamWork>[0]): Promise<void> => {
    needStore(context, sent.store);
    return streamWork(reply, (options) => pushFor(context, accessOf(raw), sent, options));
  };

  app.post(
    "/v1/captures/:capture/push",
    { schema: { params: z.object({ capture: reference }), body: pushRequest } },
    async ({ params, body, raw }, reply) =>
      send({ kind: "capture", reference: params.capture, ...body }, raw, reply),
  );

  app.post(
    "/v1/snapshots/:snapshot/push",
    { schema: { params: z.object({ snapshot: reference }), body: pushRequest } },
    async ({ params, body, raw }, reply) =>
      send({ kind: "snapshot", reference: params.snapshot, ...body }, raw, reply),
  );
}

function needStore({ engine }: DaemonContext, store: string): void {
  if (engine.stores().includes(store)) return;
  throw new EngineError("not-found", `this host has no store ${store}`, {
    hint: "the operator names stores in config.yaml; others: thaw capture push, thaw snapshot push",
  });
}

type Options = Parameters<Parameters<typeof streamWork>[1]>[0];
interface Sent {
  kind: "capture" | "snapshot";
  reference: string;
  store: string;
}

async function pushFor(
  { engine, connectAs }: DaemonContext,
  access: Access | undefined,
  { kind, reference, store: name }: Sent,
  { say, signal }: Options,
) {
  const { encryptTo, openStore, push, Thaw, ThawError } = await import("../../client/index.ts");
  await using client = new Thaw({ connect: connectAs(access), autostart: false });
  try {
    await using opened = await openStore(name, { plainHttp: false, write: true });
    const { store, policy } = opened;
    const tell = (detail: string): void =>
      say({ type: "progress", subject: name, phase: "push", state: "output", detail });
    const sent = { bytes: 0, of: 0, saidAt: 0 };
    const done = await push(client, store, kind, reference, {
      ...{ encryption: await encryptTo(policy.encryptTo), signal, onProgress: say },
      onBegin: (sending) => {
        sent.of = sending.reduce((sum, { sendBytes }) => sum + sendBytes, 0);
        tell(`${formatSize(sent.of)} to send`);
      },
      onBytes: (bytes) => {
        sent.bytes += bytes;
        if (performance.now() - sent.saidAt < PROGRESS_MS) return;
        sent.saidAt = performance.now();
        tell(`${formatSize(sent.bytes)} of ${formatSize(sent.of)} sent`);
      },
    });
    await store.finish();
    engine.audit.note(`${kind} push`, done.id, { store: name, sentBytes: done.sentBytes });
    const { id, sentBytes, presentBytes, encrypted } = done;
    return { pushed: { reference: `${store.name}:${done.tag}`, id, sentBytes, presentBytes, encrypted } };
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    const { code, message, hint, details } = error;
    throw new EngineError(code, message, { hint, details: [...details], cause: error });
  }
}
