/** Where snapshots and captures travel: a registry, a folder, a file. All of them hold OCI artifacts: blobs by digest, manifests by tag. */

/** What a blob is, as an OCI manifest names it. */
export interface Descriptor {
  mediaType: string;
  /** `sha256:` and 64 hex digits. */
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}

/**
 * Every method throws ThawError: `store-unreachable`, `store-denied`, `store-corrupt`, `no-space`. What is read is somebody else's: a blob's
 * bytes are checked by whoever uses them, and there are never more of them than its descriptor says.
 */
export interface Store extends AsyncDisposable {
  /** As people write it, without a tag. */
  readonly name: string;
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
  writeBlob(blob: Descriptor, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** Tags that there are, for people; some at least. `artifactType`: only of those, where the store can tell. */
  tags(artifactType: string, signal: AbortSignal): Promise<string[]>;
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
  const { ThawError } = await import("../errors.ts");
  if (blob.size > limit)
    throw new ThawError(
      "store-corrupt",
      `${store.name}: ${blob.mediaType} of ${blob.size} bytes; ${limit} is the most`,
    );
  const chunks: Buffer[] = [];
  for await (const chunk of store.readBlob(blob, 0, signal)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (digestOf(bytes) !== blob.digest) throw wrongBlob(store.name, blob, ThawError);
  return bytes;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${process.getBuiltinModule("node:crypto").createHash("sha256").update(bytes).digest("hex")}`;
}

/** Passes a blob on and fails at its end when it was another. */
export async function* checked(
  store: Store,
  blob: Descriptor,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const { ThawError } = await import("../errors.ts");
  const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
  for await (const chunk of store.readBlob(blob, 0, signal)) {
    hash.update(chunk);
    yield chunk;
  }
  if (`sha256:${hash.digest("hex")}` !== blob.digest) throw wrongBlob(store.name, blob, ThawError);
}

function wrongBlob(
  name: string,
  { digest }: Descriptor,
  Failure: typeof import("../errors.ts").ThawError,
): Error {
  return new Failure("store-corrupt", `${name} answered with other bytes than ${digest}`, {
    hint: "nothing of it was kept; push it anew where it came from",
  });
}
