/** What of an artifact a store has already, and what would be sent to it. Reads, and sends nothing. */
import { createHash } from "node:crypto";
import type { Artifact } from "../../api/schema.ts";
import { ThawError } from "../errors.ts";
import {
  type Layer,
  MANIFEST_LAYER_NAME,
  mediaTypeOf,
  packManifest,
  pieceLength,
  unpackManifest,
} from "./artifact.ts";
import type { Encryption } from "./encryption.ts";
import { cutInPieces } from "./pieces.ts";
import { type Descriptor, digestOf, once, type Store } from "./store.ts";

/** The manifest, or a part: as it lies on the daemon's host. */
export interface Source {
  name: string;
  size: number;
  digest: string;
  read(from: number): AsyncIterable<Uint8Array>;
}

export interface Plan {
  artifact: Artifact;
  tag: string;
  sources: readonly Source[];
  /** Digest of the manifest with the parts' digests: what it is, however it is packed and encrypted. */
  content: string;
  /** It is there, whole: the digest of its OCI manifest. */
  there: string | null;
  /** What it would be sent as. Null where that is not known before it is encrypted. */
  layers: readonly PlannedLayer[] | null;
  /** Bytes of parts to be sent, the manifest's few KiB left out; of what is to be encrypted its length before. */
  sendBytes: number;
  presentBytes: number;
}

export interface PlannedLayer {
  layer: Layer;
  source: Source;
  /** Of each piece: whether the store has it. */
  present: readonly boolean[];
}

export interface PlanContext {
  store: Store;
  encryption: Encryption | undefined;
  /** Digests of the blobs that are planned or sent already: parts of one content travel once. */
  planned: Set<string>;
  /** Reads a part of the artifact from byte `from` on. */
  readPart(artifact: Artifact, name: string, from: number): AsyncIterable<Uint8Array>;
  signal: AbortSignal;
}

/** @param base digest of the OCI manifest of its base; null when it is not known yet. @throws ThawError */
export async function planArtifact(
  context: PlanContext,
  artifact: Artifact,
  { tag, base }: { tag: string; base: string | null | undefined },
): Promise<Plan> {
  const { store, encryption, signal } = context;
  const { kind, manifest, parts } = artifact;
  const content = Buffer.from(JSON.stringify({ schema: 1, kind, manifest, parts }));
  const sources: Source[] = [
    {
      name: MANIFEST_LAYER_NAME,
      size: content.length,
      digest: digestOf(content),
      read: (from) => once(content.subarray(from)),
    },
    ...parts.map(
      ({ name, sizeBytes, sha256 }): Source => ({
        ...{ name, size: sizeBytes, digest: `sha256:${sha256}` },
        read: (from) => context.readPart(artifact, name, from),
      }),
    ),
  ];
  const size = parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const about = { artifact, tag, sources, content: digestOf(content) };
  const recipients = encryption?.recipients.join(" ");
  const there =
    base === null ? null : await findSame(store, tag, { content: about.content, recipients, base }, signal);
  if (there !== null) return { ...about, there, layers: null, sendBytes: 0, presentBytes: size };
  if (encryption !== undefined) return { ...about, there, layers: null, sendBytes: size, presentBytes: 0 };
  const layers: PlannedLayer[] = [];
  for (const source of sources) layers.push(await planLayer(context, source, false));
  const sendBytes = layers
    .filter(({ layer }) => layer.name !== MANIFEST_LAYER_NAME)
    .flatMap(missingOf)
    .reduce((sum, piece) => sum + piece.size, 0);
  return { ...about, there, layers, sendBytes, presentBytes: size - sendBytes };
}

/** @param encrypted whether the source is an age file */
export async function planLayer(
  { store, planned, signal }: PlanContext,
  source: Source,
  encrypted: boolean,
): Promise<PlannedLayer> {
  const { name, size } = source;
  const mediaType = mediaTypeOf(name, encrypted);
  const pieces = (await digestPieces(source, pieceLength(size, store.pieceBytes), signal)).map(
    (piece): Descriptor => ({ mediaType, ...piece }),
  );
  const present: boolean[] = [];
  for (const piece of pieces) {
    present.push(planned.has(piece.digest) || (await store.hasBlob(piece, signal)));
    planned.add(piece.digest);
  }
  return { layer: { name, mediaType, size, pieces }, source, present };
}

export function missingOf({ layer, present }: PlannedLayer): Descriptor[] {
  return layer.pieces.filter((_, index) => present[index] === false);
}

/** The OCI manifest that a plan's layers make, with that base. */
export function packPlan(
  { artifact, content }: Plan,
  layers: readonly Layer[],
  { base, encryption }: { base: string | undefined; encryption: Encryption | undefined },
): ReturnType<typeof packManifest> & { outline: Buffer } {
  const outline = Buffer.from(JSON.stringify(artifact.outline));
  const { kind } = artifact;
  const recipients = encryption?.recipients.join(" ");
  const { createdAt } = artifact.outline;
  return { ...packManifest({ kind, createdAt, outline, layers, base, content, recipients }), outline };
}

async function digestPieces(
  { name, size, digest, read }: Source,
  length: number,
  signal: AbortSignal,
): Promise<{ size: number; digest: string }[]> {
  if (size <= length) return [{ size, digest }];
  const whole = createHash("sha256");
  const pieces: { size: number; digest: string }[] = [];
  for await (const piece of cutInPieces(read(0), length)) {
    signal.throwIfAborted();
    whole.update(piece);
    pieces.push({ size: piece.length, digest: digestOf(piece) });
  }
  if (`sha256:${whole.digest("hex")}` !== digest)
    throw new ThawError("internal", `the part ${name} does not match its digest`);
  return pieces;
}

/** Whether the same, for the same recipients and on the same base, is there and whole. @returns the digest of its OCI manifest */
async function findSame(
  store: Store,
  tag: string,
  wanted: { content: string; recipients: string | undefined; base: string | undefined },
  signal: AbortSignal,
): Promise<string | null> {
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
  const blobs = [found.outline, found.manifest, ...found.layers.flatMap(({ pieces }) => pieces)];
  for (const blob of blobs) if (!(await store.hasBlob(blob, signal))) return null;
  return found.digest;
}
