/** A snapshot, or a capture with its base, from the daemon's host to a store. What is there already does not travel. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Artifact, Progress, PublishRequest } from "../../api/schema.ts";
import type { Thaw } from "../thaw.ts";
import { artifactTypes, type Kind, type Layer, MANIFEST_LAYER_NAME, MANIFEST_TYPE } from "./artifact.ts";
import type { Encryption } from "./encryption.ts";
import { cutInPieces } from "./pieces.ts";
import {
  type Plan,
  type PlanContext,
  type PlannedLayer,
  packPlan,
  planArtifact,
  planLayer,
  type Source,
} from "./plan.ts";
import { digestOf, once, type Store } from "./store.ts";

/** What is about to be sent of a snapshot or a capture. */
export interface Sending {
  kind: Kind;
  id: string;
  /** Of what is encrypted on the way, its length before. */
  sendBytes: number;
  /** That are there already. */
  presentBytes: number;
}

export interface PushOptions {
  /** Default: its id. */
  tag?: string | undefined;
  encryption?: Encryption | undefined;
  /** Of a capture: what of it may leave its host. */
  publish?: PublishRequest | undefined;
  signal: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Before anything is sent: all that will be, a capture's base first. */
  onBegin?: (sending: readonly Sending[]) => void;
  /** Bytes that have arrived, as they do. */
  onBytes?: (bytes: number) => void;
}

export interface Pushed {
  kind: Kind;
  id: string;
  /** In the store. */
  tag: string;
  /** Of the OCI manifest. */
  digest: string;
  /** Of parts. */
  sentBytes: number;
  /** That were there already. */
  presentBytes: number;
  encrypted: boolean;
}

/** @throws ThawError */
export async function push(
  client: Thaw,
  store: Store,
  kind: Kind,
  reference: string,
  options: PushOptions,
): Promise<Pushed> {
  const { publish, signal } = options;
  const artifact = await client.transfers.export(kind, reference, options);
  const base =
    artifact.base === null ? null : await client.transfers.export("snapshot", artifact.base, options);
  const readPart: PlanContext["readPart"] = (of, name, from) =>
    client.transfers.readPart(of, name, { publish, signal, from });
  return pushArtifacts(store, { artifact, base, readPart }, options);
}

/** What `push` sends, whatever it is read from. @throws ThawError */
export async function pushArtifacts(
  store: Store,
  {
    artifact,
    base,
    readPart,
  }: { artifact: Artifact; base: Artifact | null; readPart: PlanContext["readPart"] },
  options: PushOptions,
): Promise<Pushed> {
  const { encryption, signal } = options;
  const context: PlanContext = { store, encryption, planned: new Set(), readPart, signal };
  const basePlan =
    base && (await planArtifact(context, base, { tag: baseTag(base.id, encryption), base: undefined }));
  const basis = basePlan === null ? undefined : digestOfPlan(basePlan);
  const plan = await planArtifact(context, artifact, { tag: options.tag ?? artifact.id, base: basis });
  const plans = basePlan === null ? [plan] : [basePlan, plan];
  options.onBegin?.(
    plans.map(({ artifact: { kind, id }, sendBytes, presentBytes }) => ({
      kind,
      id,
      sendBytes,
      presentBytes,
    })),
  );
  const sentBase = basePlan === null ? null : await send(context, basePlan, undefined, options);
  const sent = await send(context, plan, sentBase?.digest, options);
  const { kind, id } = artifact;
  return {
    ...{ kind, id, tag: plan.tag, digest: sent.digest, encrypted: encryption !== undefined },
    sentBytes: sent.sentBytes + (sentBase?.sentBytes ?? 0),
    presentBytes: sent.presentBytes + (sentBase?.presentBytes ?? 0),
  };
}

/** Of encrypted ones it names the recipients: theirs and others' don't take each other's place. */
function baseTag(id: string, encryption: Encryption | undefined): string {
  if (encryption === undefined) return id;
  return `${id}-${digestOf(Buffer.from(encryption.recipients.join("\n")))
    .slice("sha256:".length)
    .slice(0, 8)}`;
}

/** Null: not known before it is encrypted. */
function digestOfPlan(plan: Plan): string | null {
  if (plan.there !== null || plan.layers === null) return plan.there;
  const layers = plan.layers.map(({ layer }) => layer);
  return packPlan(plan, layers, { base: undefined, encryption: undefined }).digest;
}

interface Sent {
  digest: string;
  sentBytes: number;
  presentBytes: number;
}

async function send(
  context: PlanContext,
  plan: Plan,
  base: string | undefined,
  options: PushOptions,
): Promise<Sent> {
  const { there, tag, artifact } = plan;
  if (there !== null) return { digest: there, sentBytes: 0, presentBytes: plan.presentBytes };
  const { store, encryption, signal } = context;
  let sentBytes = 0;
  let presentBytes = 0;
  const layers: Layer[] = [];
  const sendOne = async (planned: PlannedLayer): Promise<void> => {
    const bytes = await sendLayer(store, planned, options);
    layers.push(planned.layer);
    if (planned.layer.name === MANIFEST_LAYER_NAME) return;
    sentBytes += bytes;
    presentBytes += planned.layer.size - bytes;
  };
  if (encryption === undefined) for (const planned of plan.layers ?? []) await sendOne(planned);
  else
    for (const source of plan.sources)
      await throughFile(source, await encryption.encrypt(source.read(0)), async (file) =>
        sendOne(await planLayer(context, file, true)),
      );
  const packed = packPlan(plan, layers, { base, encryption });
  if (!(await store.hasBlob(packed.config, signal)))
    await store.writeBlob(packed.config, () => once(packed.outline), signal);
  const artifactType = artifactTypes[artifact.kind];
  await store.putManifest(packed.bytes, { tag, mediaType: MANIFEST_TYPE, artifactType }, signal);
  return { digest: packed.digest, sentBytes, presentBytes };
}

/** Sends the pieces that the store lacks. @returns bytes sent */
async function sendLayer(
  store: Store,
  { layer: { pieces }, source, present }: PlannedLayer,
  { signal, onBytes }: PushOptions,
): Promise<number> {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) {
    if (present[0] === true) return 0;
    await store.writeBlob(only, () => counted(source.read(0), onBytes), signal);
    return only.size;
  }
  const first = present.indexOf(false);
  if (first < 0) return 0;
  let sentBytes = 0;
  let index = first;
  // All pieces but the last are of one length, so the stream may begin at any of them.
  const length = pieces[0]?.size ?? 0;
  for await (const bytes of cutInPieces(source.read(first * length), length)) {
    const piece = pieces[index];
    if (piece !== undefined && present[index] === false) {
      await store.writeBlob(piece, () => once(bytes), signal);
      onBytes?.(piece.size);
      sentBytes += piece.size;
    }
    index += 1;
    if (!present.includes(false, index)) break;
  }
  return sentBytes;
}

/** Stores ask for a blob's digest before or with its bytes, and what is encrypted has none before it is. */
async function throughFile(
  { name }: Source,
  bytes: AsyncIterable<Uint8Array>,
  use: (file: Source) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "thaw-push-"));
  try {
    const path = join(folder, "layer");
    const file = await open(path, "wx", 0o600);
    const hash = createHash("sha256");
    let size = 0;
    try {
      for await (const chunk of bytes) {
        hash.update(chunk);
        size += chunk.length;
        await file.writeFile(chunk);
      }
    } finally {
      await file.close();
    }
    const read: Source["read"] = (start) => createReadStream(path, { start, highWaterMark: 1 << 20 });
    await use({ name, size, digest: `sha256:${hash.digest("hex")}`, read });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  onBytes: PushOptions["onBytes"],
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}
