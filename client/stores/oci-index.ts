/** `index.json` of an OCI image layout: which manifests there are, under which tags. */
import { ThawError } from "../errors.ts";

export const layoutFile = '{"imageLayoutVersion":"1.0.0"}';
const tagKey = "org.opencontainers.image.ref.name";
const maxEntries = 10_000;

interface Entry {
  mediaType: string;
  artifactType?: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
}
export interface Index {
  schemaVersion: 2;
  mediaType: string;
  manifests: Entry[];
}

/** An absent index is an empty one. Entries that are not of our shape are left alone. @throws ThawError `store-corrupt`. */
export function parseIndex(bytes: Buffer | null, where: string): Index {
  const empty: Index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [],
  };
  if (bytes === null) return empty;
  try {
    const { manifests } = JSON.parse(bytes.toString()) as Index;
    if (Array.isArray(manifests) && manifests.length <= maxEntries)
      return {
        ...empty,
        manifests: manifests.filter((entry) => /^sha256:[0-9a-f]{64}$/.test(entry?.digest)),
      };
  } catch {
    // said below
  }
  throw new ThawError("store-corrupt", `${where}: its index.json is none`);
}

export function addToIndex(
  index: Index,
  {
    tag,
    mediaType,
    artifactType,
    digest,
    size,
  }: { tag: string; mediaType: string; artifactType: string; digest: string; size: number },
): Index {
  const others = index.manifests.filter((entry) => entry.annotations?.[tagKey] !== tag);
  return {
    ...index,
    manifests: [...others, { mediaType, artifactType, digest, size, annotations: { [tagKey]: tag } }],
  };
}

export function findInIndex({ manifests }: Index, tag: string): string | undefined {
  return manifests.find((entry) => entry.annotations?.[tagKey] === tag)?.digest;
}

export function tagsOfIndex({ manifests }: Index, artifactType: string): string[] {
  return manifests.flatMap((entry) => {
    const tag = entry.annotations?.[tagKey];
    return entry.artifactType === artifactType && typeof tag === "string" ? [tag] : [];
  });
}
