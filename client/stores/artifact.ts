/**
 * Snapshots and captures as OCI artifacts (image specification 1.1): the config is the *outline*, which anybody who can read the store can read;
 * the first layer is the manifest with the parts' digests; then each part is a layer. Encrypted, every layer is an age file, and the outline is
 * as before.
 */
import type { Artifact } from "../../api/schema.ts";
import { ThawError } from "../errors.ts";
import { type Descriptor, digestOf } from "./store.ts";

export type Kind = Artifact["kind"];

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const artifactTypes: Record<Kind, string> = {
  capture: "application/vnd.thaw.capture.v1",
  snapshot: "application/vnd.thaw.snapshot.v1",
};
const OUTLINE_TYPE = "application/vnd.thaw.outline.v1+json";
const MANIFEST_LAYER_TYPE = "application/vnd.thaw.manifest.v1+json";
export const MANIFEST_LAYER_NAME = "manifest.json";
const ENCRYPTED_SUFFIX = "+encrypted";
const TITLE_KEY = "org.opencontainers.image.title";
const CREATED_KEY = "org.opencontainers.image.created";
/** Digest of the OCI manifest of a capture's base, in the same repository. */
const BASE_KEY = "vnd.thaw.base";
/** What is in it and, encrypted, for whom, so that it is not sent twice. */
const CONTENT_KEY = "vnd.thaw.content";
const RECIPIENTS_KEY = "vnd.thaw.recipients";
/** `2/7`: the second of seven layers that are one part. */
const PIECE_KEY = "vnd.thaw.piece";
export const MAX_MANIFEST_BYTES = 1 << 20;
export const MAX_OUTLINE_BYTES = 1 << 18;
const MAX_LAYERS = 2048;
const MAX_PIECES = 1024;
const NAME_PATTERN = /^[a-z0-9-]{1,20}(\.qcow2)?\.(zst|json)$/;

/** A part, or the manifest: one blob, or several that are one part in a row. */
export interface Layer {
  name: string;
  mediaType: string;
  size: number;
  pieces: readonly Descriptor[];
}

/** An OCI manifest of ours, read. */
export interface Packed {
  kind: Kind;
  /** Of the OCI manifest itself. */
  digest: string;
  outline: Descriptor;
  manifest: Descriptor;
  layers: Layer[];
  encrypted: boolean;
  base: string | undefined;
  content: string | undefined;
  recipients: string | undefined;
}

export function mediaTypeOf(name: string, encrypted: boolean): string {
  const [what = ""] = name.split(".");
  const type =
    name === MANIFEST_LAYER_NAME
      ? MANIFEST_LAYER_TYPE
      : `application/vnd.thaw.${what.replace(/-\d+$/, "")}.v1+${name.endsWith(".zst") ? "zstd" : "json"}`;
  return encrypted ? `${type}${ENCRYPTED_SUFFIX}` : type;
}

/** How long the blobs are that a part of `size` bytes travels as, where a store takes blobs of `limit` bytes. */
export function pieceLength(size: number, limit: number | undefined): number {
  const mib = 1 << 20;
  return limit === undefined ? Math.max(1, size) : Math.max(limit, Math.ceil(size / MAX_PIECES / mib) * mib);
}

/** The artifact's OCI manifest. The same artifact makes the same bytes. */
export function packManifest(about: {
  kind: Kind;
  createdAt: string;
  outline: Buffer;
  layers: readonly Layer[];
  base?: string | undefined;
  content: string;
  recipients?: string | undefined;
}): { bytes: Buffer; digest: string; config: Descriptor } {
  const { kind, createdAt, outline, layers, base, content, recipients } = about;
  const config = { mediaType: OUTLINE_TYPE, digest: digestOf(outline), size: outline.length };
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: artifactTypes[kind],
    config,
    layers: layers.flatMap(({ name, mediaType, pieces }) =>
      pieces.map(({ digest, size }, index) => ({
        mediaType,
        digest,
        size,
        annotations: {
          [TITLE_KEY]: name,
          ...(pieces.length === 1 ? {} : { [PIECE_KEY]: `${index + 1}/${pieces.length}` }),
        },
      })),
    ),
    annotations: {
      [CREATED_KEY]: createdAt,
      ...(base === undefined ? {} : { [BASE_KEY]: base }),
      [CONTENT_KEY]: content,
      ...(recipients === undefined ? {} : { [RECIPIENTS_KEY]: recipients }),
    },
  });
  const bytes = Buffer.from(text);
  return { bytes, digest: digestOf(bytes), config };
}

/** Reads an OCI manifest strictly: names that thaw gives, digests, sizes. @throws ThawError `store-corrupt`. */
export function unpackManifest(bytes: Buffer, where: string): Packed {
  const no = (why: string): ThawError =>
    new ThawError("store-corrupt", `what is at ${where} ${why}`, {
      hint: "use an artifact made by thaw capture push or thaw snapshot push",
    });
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(bytes.toString()) as Record<string, unknown>;
  } catch {
    throw no("is not JSON");
  }
  const kind = (Object.keys(artifactTypes) as Kind[]).find(
    (one) => artifactTypes[one] === value?.artifactType,
  );
  if (kind === undefined) throw no("is neither a capture nor a snapshot of thaw's");
  const outline = readDescriptor(value.config);
  if (outline === null || outline.mediaType !== OUTLINE_TYPE) throw no("has no outline");
  if (!Array.isArray(value.layers) || value.layers.length > MAX_LAYERS)
    throw no("has no layers, or too many");
  const layers = joinPieces(value.layers, no);
  if (new Set(layers.map(({ name }) => name)).size !== layers.length) throw no("has a layer twice");
  const [manifest] = layers
    .filter(({ name }) => name === MANIFEST_LAYER_NAME)
    .flatMap(({ pieces }) => pieces);
  if (manifest === undefined) throw no(`has no layer ${MANIFEST_LAYER_NAME}`);
  const encrypted = layers.filter(({ mediaType }) => mediaType.endsWith(ENCRYPTED_SUFFIX)).length;
  if (encrypted !== 0 && encrypted !== layers.length) throw no("is encrypted in parts only");
  const annotations = readAnnotations(value.annotations) ?? {};
  const base = annotations[BASE_KEY];
  if (base !== undefined && !/^sha256:[0-9a-f]{64}$/.test(base)) throw no("has a base that is no digest");
  return {
    ...{ kind, digest: digestOf(bytes), outline, manifest, base },
    layers: layers.filter(({ name }) => name !== MANIFEST_LAYER_NAME),
    encrypted: encrypted > 0,
    content: annotations[CONTENT_KEY],
    recipients: annotations[RECIPIENTS_KEY],
  };
}

/** The artifact type of somebody's manifest; null when it has none. */
export function artifactTypeOf(bytes: Buffer): string | null {
  try {
    const { artifactType } = JSON.parse(bytes.toString()) as { artifactType?: unknown };
    return typeof artifactType === "string" ? artifactType : null;
  } catch {
    return null;
  }
}

/** Layers that are pieces of one part follow each other, all of them. */
function joinPieces(values: readonly unknown[], no: (why: string) => ThawError): Layer[] {
  const layers: (Layer & { pieces: Descriptor[]; count: number })[] = [];
  for (const value of values) {
    const found = readDescriptor(value);
    const name = found?.annotations?.[TITLE_KEY];
    if (found === null || name === undefined || !NAME_PATTERN.test(name))
      throw no("has a layer that is no part of such a thing");
    const { mediaType, size } = found;
    const [, number, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(found.annotations?.[PIECE_KEY] ?? "1/1") ?? [];
    const before = layers.at(-1);
    if (number === "1") {
      layers.push({ name, mediaType, size, pieces: [found], count: Number(count) });
      continue;
    }
    if (
      before?.name !== name ||
      before.mediaType !== mediaType ||
      Number(count) !== before.count ||
      Number(number) !== before.pieces.length + 1
    )
      throw no(`has pieces of ${name} that don't follow each other`);
    before.pieces.push(found);
    before.size += size;
  }
  const cut = layers.find(
    ({ pieces, count, name }) => pieces.length !== count || (name === MANIFEST_LAYER_NAME && count !== 1),
  );
  if (cut !== undefined) throw no(`lacks pieces of ${cut.name}`);
  return layers;
}

function readDescriptor(value: unknown): Descriptor | null {
  const { mediaType, digest, size, annotations } = (value ?? {}) as Record<string, unknown>;
  if (typeof mediaType !== "string" || mediaType.length > 200) return null;
  if (typeof digest !== "string" || !/^sha256:[0-9a-f]{64}$/.test(digest)) return null;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return null;
  return { mediaType, digest, size, annotations: readAnnotations(annotations) ?? {} };
}

function readAnnotations(value: unknown): Record<string, string> | null {
  if (typeof value !== "object" || value === null) return null;
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(entries);
}
