/** `index.json` of an OCI image layout: which manifests there are, under which tags. */
import { ThawError } from "../errors.ts";

export const layoutFile = '{"imageLayoutVersion":"1.0.0"}';
const TAG_KEY = "org.opencontainers.image.ref.name";
const MAX_ENTRIES = 10_000;

interface Entry {
  artifactType?: string;
  digest: string;
  annotations?: Record<string, unknown>;
}
/** Everybody's entries, and fields that are not ours: all are kept as they are. */
export interface Index extends Record<string, unknown> {
  manifests: unknown[];
}

/** An absent index is an empty one. @throws ThawError `store-corrupt`. */
export function parseIndex(bytes: Buffer | null, where: string): Index {
  if (bytes === null)
    return { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] };
  try {
    const index = JSON.parse(bytes.toString()) as Index;
    if (Array.isArray(index.manifests) && index.manifests.length <= MAX_ENTRIES) return index;
  } catch {
    // said below
  }
  throw new ThawError("store-corrupt", `${where}: index.json is not an OCI image index`);
}

/** The index with the tag on that manifest, and on no other. */
export function addToIndex(
  index: Index,
  about: { tag: string; mediaType: string; artifactType: string; digest: string; size: number },
): Index {
  const { tag, mediaType, artifactType, digest, size } = about;
  const others = index.manifests.filter((value) => tagOf(readEntry(value)) !== tag);
  return {
    ...index,
    manifests: [...others, { mediaType, artifactType, digest, size, annotations: { [TAG_KEY]: tag } }],
  };
}

export function findInIndex({ manifests }: Index, tag: string): string | undefined {
  return manifests.map(readEntry).find((entry) => tagOf(entry) === tag)?.digest;
}

export function tagsOfIndex({ manifests }: Index, artifactType: string): string[] {
  return manifests.flatMap((value) => {
    const entry = readEntry(value);
    const tag = tagOf(entry);
    return entry?.artifactType === artifactType && tag !== null ? [tag] : [];
  });
}

/** Null for an entry that we could not read by its digest. */
function readEntry(value: unknown): Entry | null {
  const entry = value as Entry | null;
  return typeof entry?.digest === "string" && /^sha256:[0-9a-f]{64}$/.test(entry.digest) ? entry : null;
}

function tagOf(entry: Entry | null): string | null {
  const tag = entry?.annotations?.[TAG_KEY];
  return typeof tag === "string" ? tag : null;
}
