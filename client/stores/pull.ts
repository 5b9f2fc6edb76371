/** A snapshot, or a capture with its base, from a store to the daemon's host. What is there already does not travel. */
import { defined } from "../../api/defined.ts";
import type { Artifact, Outline, Progress } from "../../api/schema.ts";
import { ThawError } from "../errors.ts";
import type { Thaw } from "../thaw.ts";
import {
  artifactTypes,
  type Kind,
  type Layer,
  MAX_OUTLINE_BYTES,
  type Packed,
  unpackManifest,
} from "./artifact.ts";
import { type Decrypt, decryptWith } from "./encryption.ts";
import { checked, digestOf, once, readSmall, type Store } from "./store.ts";

/** The manifest and its parts' digests. */
const MAX_CONTENT_BYTES = 1 << 20;
const TRIES = 3;
const WAIT_MS = 500;
const SHOWN_TAGS = 10;

export interface PullOptions {
  /** A file of age identities. */
  identity?: string | undefined;
  signal: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Before anything is fetched: bytes that will be, of this one. */
  onBegin?: (about: { kind: Kind; id: string; bytes: number }) => void;
  onBytes?: (bytes: number) => void;
}

export interface Pulled {
  kind: Kind;
  id: string;
  fetchedBytes: number;
  /** It was on the host already. */
  present: boolean;
}

/** What is under a tag. Without one: the only one of that kind. @throws ThawError `not-found`, `usage`, `store-corrupt`. */
export async function find(
  store: Store,
  kind: Kind,
  tag: string | undefined,
  signal: AbortSignal,
): Promise<Packed> {
  const wanted = tag ?? (await onlyTag(store, kind, signal));
  const bytes = await store.getManifest(wanted, signal);
  if (bytes === null) {
    const tags = await firstTags(store, kind, SHOWN_TAGS, signal);
    throw new ThawError("not-found", `${store.name} has no tag ${wanted}`, {
      hint: tags.length === 0 ? `it has no ${kind}` : `it has ${tags.join(", ")}`,
    });
  }
  const packed = unpackManifest(bytes, `${store.name}:${wanted}`);
  if (packed.kind !== kind)
    throw new ThawError("usage", `${store.name}:${wanted} is a ${packed.kind}, not a ${kind}`, {
      hint: `thaw ${packed.kind} pull ${store.name}:${wanted}`,
    });
  return packed;
}

/** Its outline, and its base's when that is there: all that is read before anything is fetched. */
export async function readOutlines(
  store: Store,
  packed: Packed,
  signal: AbortSignal,
): Promise<{ outline: Outline; base: Outline | null }> {
  const read = async ({ outline }: Packed): Promise<Outline> =>
    parseJson(await readSmall(store, outline, MAX_OUTLINE_BYTES, signal), store) as Outline;
  const below = await basePacked(store, packed, signal);
  return { outline: await read(packed), base: below === null ? null : await read(below) };
}

/** @throws ThawError */
export async function pull(
  client: Thaw,
  store: Store,
  packed: Packed,
  options: PullOptions,
): Promise<Pulled> {
  const where = `${store.name} ${packed.digest.slice(0, 19)}`;
  const decrypt = packed.encrypted ? await decryptWith(options.identity, where) : undefined;
  const content = await readContent(store, packed, decrypt, options.signal);
  let fetchedBytes = 0;
  if (packed.kind === "capture") {
    const base = await bringBase(client, store, packed, content, options);
    fetchedBytes += base?.fetchedBytes ?? 0;
  }
  const own = await pullOne(client, store, packed, content, decrypt, options);
  return { ...own, fetchedBytes: fetchedBytes + own.fetchedBytes };
}

/** Nothing to do where the very snapshot is on the host. */
async function bringBase(
  client: Thaw,
  store: Store,
  packed: Packed,
  content: Content,
  options: PullOptions,
): Promise<Pulled | null> {
  const { base } =
    (parseJson(Buffer.from(content.manifest), store) as {
      base?: { snapshot?: unknown; digest?: unknown };
    }) ?? {};
  if (typeof base?.snapshot !== "string" || typeof base.digest !== "string")
    throw new ThawError("store-corrupt", `${store.name}: the capture does not name its base`);
  const here = (await client.snapshots.list({ signal: options.signal })).some(
    ({ id }) => id === base.snapshot,
  );
  if (here) return null;
  const below = await basePacked(store, packed, options.signal);
  if (below === null)
    throw new ThawError("not-found", `${store.name} lacks the capture's base, snapshot ${base.snapshot}`, {
      hint: "push it again from the host that made it",
    });
  const decrypt = below.encrypted
    ? await decryptWith(options.identity, `${store.name} ${below.digest.slice(0, 19)}`)
    : undefined;
  const inside = await readContent(store, below, decrypt, options.signal);
  // Before a byte of it travels.
  if (digestOf(Buffer.from(inside.manifest)) !== `sha256:${base.digest}`)
    throw new ThawError(
      "store-corrupt",
      `${store.name}: the capture's base in this store is not snapshot ${base.snapshot}`,
      {
        hint: "push it again from the host that made it",
      },
    );
  return pullOne(client, store, below, inside, decrypt, options);
}

async function basePacked(store: Store, packed: Packed, signal: AbortSignal): Promise<Packed | null> {
  if (packed.base === undefined) return null;
  const bytes = await store.getManifest(packed.base, signal);
  if (bytes === null) return null;
  const below = unpackManifest(bytes, `${store.name}@${packed.base}`);
  if (below.kind !== "snapshot")
    throw new ThawError("store-corrupt", `${store.name}: the capture's base is not a snapshot`);
  return below;
}

type Content = Pick<Artifact, "manifest" | "parts">;

async function readContent(
  store: Store,
  { manifest, kind }: Packed,
  decrypt: Decrypt | undefined,
  signal: AbortSignal,
): Promise<Content> {
  const bytes = await readSmall(store, manifest, MAX_CONTENT_BYTES, signal);
  const opened = decrypt === undefined ? bytes : await joined(decrypt(once(bytes)));
  const value = parseJson(opened, store) as { kind?: unknown; manifest?: unknown; parts?: unknown };
  if (value?.kind !== kind || typeof value.manifest !== "string" || !Array.isArray(value.parts))
    throw new ThawError("store-corrupt", `${store.name}: the ${kind} has no manifest written by thaw`);
  return { manifest: value.manifest, parts: value.parts as Content["parts"] };
}

async function pullOne(
  client: Thaw,
  store: Store,
  packed: Packed,
  { manifest, parts }: Content,
  decrypt: Decrypt | undefined,
  options: PullOptions,
): Promise<Pulled> {
  const { kind } = packed;
  const { signal, onProgress, onBegin, onBytes } = options;
  let fetchedBytes = 0;
  for (let attempt = 1; ; attempt++) {
    const state = await client.transfers.beginImport({ kind, manifest, parts }, { signal });
    if (state.import === null) return { kind, id: state.id, fetchedBytes, present: true };
    const key = state.import;
    const missing = parts.filter(
      ({ name, sizeBytes }) => (state.received[name] ?? 0) < sizeBytes || sizeBytes === 0,
    );
    if (attempt === 1)
      onBegin?.({
        kind,
        id: state.id,
        bytes: missing.reduce((sum, { name, sizeBytes }) => sum + sizeBytes - (state.received[name] ?? 0), 0),
      });
    try {
      for (const { name } of missing) {
        const layer = packed.layers.find((one) => one.name === name);
        if (layer === undefined)
          throw new ThawError(
            "store-corrupt",
            `${store.name}: the ${kind} ${state.id} lacks its part ${name}`,
          );
        const from = state.received[name] ?? 0;
        const bytes = () =>
          counted(readPart(store, layer, from, decrypt, signal), (count) => {
            fetchedBytes += count;
            onBytes?.(count);
          });
        await client.transfers.writePart(key, name, { from, bytes }, { signal });
      }
      await client.transfers.commitImport(key, {
        signal,
        ...defined({ onProgress }),
      });
      return { kind, id: state.id, fetchedBytes, present: false };
    } catch (error) {
      const { code } = error as ThawError;
      if (
        signal.aborted ||
        attempt === TRIES ||
        (code !== "store-unreachable" && code !== "daemon-unreachable")
      )
        throw error;
      // What came is kept. The daemon may not have noticed yet that no more of it comes.
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS * attempt));
    }
  }
}

/** A part from byte `from` on, opened. What is encrypted is read from its beginning: it can't be opened from the middle. */
async function* readPart(
  store: Store,
  layer: Layer,
  from: number,
  decrypt: Decrypt | undefined,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  let at = 0;
  if (decrypt === undefined) {
    for (const piece of layer.pieces) {
      if (from < at + piece.size) yield* store.readBlob(piece, Math.max(0, from - at), signal);
      at += piece.size;
    }
    return;
  }
  const all = async function* (): AsyncGenerator<Buffer, void> {
    for (const piece of layer.pieces) yield* checked(store, piece, signal);
  };
  for await (const chunk of decrypt(all())) {
    if (at + chunk.length > from) yield chunk.subarray(Math.max(0, from - at));
    at += chunk.length;
  }
}

async function* counted(
  bytes: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of bytes) {
    count(chunk.length);
    yield chunk;
  }
}

/** The first `count` tags of such artifacts. */
async function firstTags(store: Store, kind: Kind, count: number, signal: AbortSignal): Promise<string[]> {
  const tags: string[] = [];
  for await (const tag of store.tags(artifactTypes[kind], signal)) {
    tags.push(tag);
    if (tags.length === count) break;
  }
  return tags;
}

async function onlyTag(store: Store, kind: Kind, signal: AbortSignal): Promise<string> {
  const tags = await firstTags(store, kind, SHOWN_TAGS, signal);
  const [only] = tags;
  if (only !== undefined && tags.length === 1) return only;
  throw new ThawError("usage", `${store.name} has ${tags.length === 0 ? `no ${kind}` : "several"}`, {
    hint:
      tags.length === 0
        ? `thaw ${kind} push REF ${store.name}`
        : `name one: ${tags.map((tag) => `${store.name}:${tag}`).join(", ")}`,
  });
}

function parseJson(bytes: Buffer, store: Store): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    throw new ThawError("store-corrupt", `${store.name}: not valid JSON`);
  }
}

async function joined(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > MAX_CONTENT_BYTES)
      throw new ThawError("store-corrupt", `a manifest of more than ${MAX_CONTENT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
