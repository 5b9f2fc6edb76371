/** A snapshot, or a capture with its base, from the daemon's host to a store. What is there already does not travel. */
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Artifact, Progress, PublishRequest } from "../../daemon/api/schema.ts";
import type { ThawClient } from "../thaw-client.ts";
import {
  artifactTypes,
  type Kind,
  type Layer,
  manifestLayerName,
  manifestType,
  mediaTypeOf,
  packManifest,
  unpackManifest,
} from "./artifact.ts";
import type { Encryption } from "./encryption.ts";
import { digestOf, type Store } from "./store.ts";

export interface PushOptions {
  /** Default: its id. */
  tag?: string | undefined;
  encryption?: Encryption | undefined;
  /** Of a capture: what of it may leave its host. */
  publish?: PublishRequest | undefined;
  signal: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Bytes on their way, as they go. */
  onBytes?: (bytes: number) => void;
}

export interface Pushed {
  kind: Kind;
  id: string;
  /** In the store. */
  tag: string;
  /** Of the OCI manifest. */
  digest: string;
  sentBytes: number;
  /** That were there already. */
  presentBytes: number;
  encrypted: boolean;
}

/** @throws ThawError */
export async function push(
  client: ThawClient,
  store: Store,
  kind: Kind,
  reference: string,
  options: PushOptions,
): Promise<Pushed> {
  const artifact = await client.exportArtifact(kind, reference, options);
  if (artifact.base === null) return pushOne(client, store, artifact, options.tag ?? artifact.id, options);
  const base = await client.exportArtifact("snapshot", artifact.base, options);
  const pushedBase = await pushOne(client, store, base, baseTag(base.id, options.encryption), options);
  const pushed = await pushOne(
    client,
    store,
    artifact,
    options.tag ?? artifact.id,
    options,
    pushedBase.digest,
  );
  return {
    ...pushed,
    sentBytes: pushed.sentBytes + pushedBase.sentBytes,
    presentBytes: pushed.presentBytes + pushedBase.presentBytes,
  };
}

/** Of encrypted ones it names the recipients: theirs and others' don't take each other's place. */
function baseTag(id: string, encryption: Encryption | undefined): string {
  if (encryption === undefined) return id;
  return `${id}-${digestOf(Buffer.from(encryption.recipients.join("\n")))
    .slice("sha256:".length)
    .slice(0, 8)}`;
}

async function pushOne(
  client: ThawClient,
  store: Store,
  artifact: Artifact,
  tag: string,
  options: PushOptions,
  base?: string,
): Promise<Pushed> {
  const { kind, id, outline, parts, manifest } = artifact;
  const { encryption, publish, signal } = options;
  const content = Buffer.from(JSON.stringify({ schema: 1, kind, manifest, parts }));
  const done = { kind, id, tag, encrypted: encryption !== undefined };
  const recipients = encryption?.recipients.join(" ");
  if (recipients !== undefined) {
    const there = await findSame(store, tag, { content: digestOf(content), recipients, base }, signal);
    if (there !== null) return { ...done, ...there };
  }
  let sentBytes = 0;
  let presentBytes = 0;
  const layers: Layer[] = [];
  const send = async (
    name: string,
    size: number,
    digest: string,
    bytes: () => AsyncIterable<Uint8Array>,
  ): Promise<void> => {
    const layer = { name, size, digest, mediaType: mediaTypeOf(name, encryption !== undefined) };
    layers.push(layer);
    if (await store.hasBlob(layer, signal)) presentBytes += size;
    else {
      await store.writeBlob(layer, counted(bytes(), options), signal);
      sentBytes += size;
    }
  };
  const sources: [name: string, size: number, sha256: string, bytes: () => AsyncIterable<Uint8Array>][] = [
    [manifestLayerName, content.length, digestOf(content), () => once(content)],
    ...parts.map(({ name, sizeBytes, sha256 }): (typeof sources)[number] => [
      ...([name, sizeBytes, `sha256:${sha256}`] as const),
      () => client.getPart(artifact, name, { publish, signal }),
    ]),
  ];
  for (const [name, size, digest, bytes] of sources)
    if (encryption === undefined) await send(name, size, digest, bytes);
    else
      await throughFile(await encryption.encrypt(bytes()), (found, read) =>
        send(name, found.size, found.digest, read),
      );
  const outlineBytes = Buffer.from(JSON.stringify(outline));
  const packed = packManifest({
    ...{ kind, createdAt: outline.createdAt, outline: outlineBytes, layers, base },
    encryption: recipients === undefined ? undefined : { content: digestOf(content), recipients },
  });
  if (!(await store.hasBlob(packed.config, signal)))
    await store.writeBlob(packed.config, once(outlineBytes), signal);
  await store.putManifest(
    packed.bytes,
    { tag, mediaType: manifestType, artifactType: artifactTypes[kind] },
    signal,
  );
  return { ...done, digest: packed.digest, sentBytes, presentBytes };
}

/** Encrypted anew it would be other bytes: whether the same for the same recipients is there, whole. */
async function findSame(
  store: Store,
  tag: string,
  wanted: { content: string; recipients: string; base: string | undefined },
  signal: AbortSignal,
): Promise<{ digest: string; sentBytes: number; presentBytes: number } | null> {
  const bytes = await store.getManifest(tag, signal);
  if (bytes === null) return null;
  let found: ReturnType<typeof unpackManifest>;
  try {
    found = unpackManifest(bytes, tag);
  } catch {
    return null;
  }
  const { content, recipients, base } = wanted;
  if (found.content !== content || found.recipients !== recipients || found.base !== base) return null;
  const blobs = [found.outline, found.manifest, ...found.layers];
  for (const blob of blobs) if (!(await store.hasBlob(blob, signal))) return null;
  return { digest: found.digest, sentBytes: 0, presentBytes: blobs.reduce((sum, { size }) => sum + size, 0) };
}

/** Stores ask for a blob's digest before or with its bytes, and what is encrypted has none before it is. */
async function throughFile(
  bytes: AsyncIterable<Uint8Array>,
  use: (found: { size: number; digest: string }, read: () => AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const { createHash } = await import("node:crypto");
  const { open } = await import("node:fs/promises");
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
    await use({ size, digest: `sha256:${hash.digest("hex")}` }, () =>
      createReadStream(path, { highWaterMark: 1 << 20 }),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  { onBytes }: PushOptions,
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    onBytes?.(chunk.length);
    yield chunk;
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield bytes;
}
