/** Where snapshots and captures travel: a registry, a folder, a file. All of them hold OCI artifacts: blobs by digest, manifests by tag. */
import { createHash } from "node:crypto";
import { ThawError } from "../errors.ts";

/** What a blob is, as an OCI manifest names it. */
export interface Descriptor {
  mediaType: string;
  /** `sha256:` and 64 hex digits. */
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

/** A blob's bytes, from the beginning; may be called again. */
export type ReadBytes = () => AsyncIterable<Uint8Array>;

/**
 * Every method throws ThawError: `store-unreachable`, `store-denied`, `store-corrupt`, `no-space`. What is read is somebody else's: a blob's
 * bytes are checked by whoever uses them, and there are never more of them than its descriptor says.
 */
export interface Store extends AsyncDisposable {
  /** As people write it, without a tag. */
  readonly name: string;
  /** The longest blob that is written to it, unless there would be thousands of them; absent: it takes blobs of any length. */
  readonly pieceBytes?: number;
  /** By tag or digest; one that was asked for by digest has it. Null when there is none. */
  getManifest(reference: string, signal: AbortSignal): Promise<Buffer | null>;
  putManifest(
    bytes: Buffer,
    about: { tag: string; mediaType: string; artifactType: string },
    signal: AbortSignal,
  ): Promise<void>;
  hasBlob(blob: Descriptor, signal: AbortSignal): Promise<boolean>;
  /** From byte `from` to the end. */
  readBlob(blob: Descriptor, from: number, signal: AbortSignal): AsyncGenerator<Buffer, void>;
  /** A reader sees it whole and with that digest, or not at all. */
  writeBlob(blob: Descriptor, read: ReadBytes, signal: AbortSignal): Promise<void>;
  /** Tags of artifacts of that type; others are passed over. Takes a request each in a registry, so stop when there are enough. */
  tags(artifactType: string, signal: AbortSignal): AsyncIterable<string>;
  /** All is written. */
  finish(): Promise<void>;
}

/** A small blob, read whole and checked. */
export async function readSmall(
  store: Store,
  blob: Descriptor,
  limit: number,
  signal: AbortSignal,
): Promise<Buffer> {
  if (blob.size > limit)
    throw new ThawError(
      "store-corrupt",
      `${store.name}: ${blob.mediaType} of ${blob.size} bytes; the limit is ${limit}`,
    );
  const bytes = await joinBytes(store.readBlob(blob, 0, signal), blob.size);
  if (digestOf(bytes) !== blob.digest) throw wrongBlob(store.name, blob);
  return bytes;
}

/** All of a stream, of which no more than `limit` bytes are kept and one more chunk is read. */
export async function joinBytes(bytes: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit) break;
  }
  return Buffer.concat(chunks);
}

export async function* once(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield bytes;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Passes a blob on and fails at its end when it was another. */
export async function* checked(
  store: Store,
  blob: Descriptor,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const hash = createHash("sha256");
  for await (const chunk of store.readBlob(blob, 0, signal)) {
    hash.update(chunk);
    yield chunk;
  }
  if (`sha256:${hash.digest("hex")}` !== blob.digest) throw wrongBlob(store.name, blob);
}

function wrongBlob(name: string, { digest }: Descriptor): ThawError {
  return new ThawError("store-corrupt", `${name} sent content that does not match ${digest}`, {
    hint: "nothing of it was kept; push it again from the host that made it",
  });
}
