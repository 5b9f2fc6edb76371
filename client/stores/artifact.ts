/**
 * Snapshots and captures as OCI artifacts (image specification 1.1): the config is the *outline*, which anybody who can read the store can read;
 * the first layer is the manifest with the parts' digests; then each part is a layer. Encrypted, every layer is an age file, and the outline is
 * as before.
 */
import type { Artifact } from "../../daemon/api/schema.ts";
import { ThawError } from "../errors.ts";
import { type Descriptor, digestOf } from "./store.ts";

export type Kind = Artifact["kind"];

export const manifestType = "application/vnd.oci.image.manifest.v1+json";
export const artifactTypes: Record<Kind, string> = {
  capture: "application/vnd.thaw.capture.v1",
  snapshot: "application/vnd.thaw.snapshot.v1",
};
const outlineType = "application/vnd.thaw.outline.v1+json";
const manifestLayerType = "application/vnd.thaw.manifest.v1+json";
export const manifestLayerName = "manifest.json";
const encryptedSuffix = "+encrypted";
const titleKey = "org.opencontainers.image.title";
const createdKey = "org.opencontainers.image.created";
/** Digest of the OCI manifest of a capture's base, in the same repository. */
const baseKey = "vnd.thaw.base";
/** Of encrypted ones: what is in it and for whom, so that it is not sent twice. */
const contentKey = "vnd.thaw.content";
const recipientsKey = "vnd.thaw.recipients";
export const maxManifestBytes = 1 << 20;
export const maxOutlineBytes = 1 << 18;
const maxLayers = 64;
const namePattern = /^[a-z0-9-]{1,20}(\.qcow2)?\.(zst|json)$/;

export interface Layer extends Descriptor {
  name: string;
}

/** An OCI manifest of ours, read. */
export interface Packed {
  kind: Kind;
  /** Of the OCI manifest itself. */
  digest: string;
  outline: Descriptor;
  manifest: Layer;
  layers: Layer[];
  encrypted: boolean;
  base: string | undefined;
  content: string | undefined;
  recipients: string | undefined;
}

export function mediaTypeOf(name: string, encrypted: boolean): string {
  const [what = ""] = name.split(".");
  const type =
    name === manifestLayerName
      ? manifestLayerType
      : `application/vnd.thaw.${what.replace(/-\d+$/, "")}.v1+${name.endsWith(".zst") ? "zstd" : "json"}`;
  return encrypted ? `${type}${encryptedSuffix}` : type;
}

/** The artifact's OCI manifest. The same artifact makes the same bytes. */
export function packManifest(about: {
  kind: Kind;
  createdAt: string;
  outline: Buffer;
  layers: readonly Layer[];
  base?: string | undefined;
  encryption?: { content: string; recipients: string } | undefined;
}): { bytes: Buffer; digest: string; config: Descriptor } {
  const { kind, createdAt, outline, layers, base, encryption } = about;
  const config = { mediaType: outlineType, digest: digestOf(outline), size: outline.length };
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType: artifactTypes[kind],
    config,
    layers: layers.map(({ name, mediaType, digest, size }) => ({
      mediaType,
      digest,
      size,
      annotations: { [titleKey]: name },
    })),
    annotations: {
      [createdKey]: createdAt,
      ...(base === undefined ? {} : { [baseKey]: base }),
      ...(encryption === undefined
        ? {}
        : { [contentKey]: encryption.content, [recipientsKey]: encryption.recipients }),
    },
  });
  const bytes = Buffer.from(text);
  return { bytes, digest: digestOf(bytes), config };
}

/** Reads an OCI manifest strictly: names that thaw gives, digests, sizes. @throws ThawError `store-corrupt`. */
export function unpackManifest(bytes: Buffer, where: string): Packed {
  const no = (why: string): ThawError =>
    new ThawError("store-corrupt", `what is at ${where} ${why}`, {
      hint: "thaw capture push, thaw snapshot push make such artifacts",
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
  if (outline === null || outline.mediaType !== outlineType) throw no("has no outline");
  if (!Array.isArray(value.layers) || value.layers.length > maxLayers) throw no("has no layers, or too many");
  const layers = value.layers.map((layer: unknown): Layer => {
    const found = readDescriptor(layer);
    const name = found?.annotations?.[titleKey];
    if (found === null || name === undefined || !namePattern.test(name))
      throw no("has a layer that is no part of such a thing");
    return { ...found, name };
  });
  if (new Set(layers.map(({ name }) => name)).size !== layers.length) throw no("has a layer twice");
  const manifest = layers.find(({ name }) => name === manifestLayerName);
  if (manifest === undefined) throw no(`has no layer ${manifestLayerName}`);
  const encrypted = layers.filter(({ mediaType }) => mediaType.endsWith(encryptedSuffix)).length;
  if (encrypted !== 0 && encrypted !== layers.length) throw no("is encrypted in parts only");
  const annotations = readAnnotations(value.annotations) ?? {};
  const base = annotations[baseKey];
  if (base !== undefined && !/^sha256:[0-9a-f]{64}$/.test(base)) throw no("has a base that is no digest");
  return {
    ...{ kind, digest: digestOf(bytes), outline, manifest, base },
    layers: layers.filter((layer) => layer !== manifest),
    encrypted: encrypted > 0,
    content: annotations[contentKey],
    recipients: annotations[recipientsKey],
  };
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
