/**
 * How a snapshot or a capture travels: its manifest, byte for byte, and its parts, each a stream of its own with a digest of its own. What is
 * raw on disk is compressed on the way. Names are closed lists: what comes in can't name a host's file.
 */
import { z } from "zod";
import { sha256 } from "../../durable/digest.ts";
import { captureId, captureManifest, PART_NAMES } from "../captures/case-file.ts";
import { isMemoryPart } from "../captures/publish.ts";
import { EngineError } from "../errors.ts";
import { CORE_PARTS, layerNames, machineNeeds, manifest, snapshotId } from "../snapshots/manifest.ts";

export const digest = z.string().regex(/^[0-9a-f]{64}$/);
/** As they travel: what is not JSON is zstd. */
export const SNAPSHOT_WIRE_NAMES = [...CORE_PARTS, ...layerNames].map((name) => `${name}.zst` as const);
export const wireName = z.enum([...new Set([...PART_NAMES, ...SNAPSHOT_WIRE_NAMES])]);
export const MAX_MANIFEST_BYTES = 1 << 18;

export const wirePart = z.strictObject({
  name: wireName,
  sizeBytes: z.int().min(0),
  sha256: digest,
  /** Opened. */
  rawBytes: z.int().min(0),
});
export type WirePart = z.infer<typeof wirePart>;

const resources = z.strictObject({
  cpus: z.int().min(1).max(64),
  memoryMib: z.int().min(1).max(1_048_576),
  diskMib: z.int().min(1).max(16_777_216),
});
const outlinePart = wirePart.omit({ sha256: true });
/**
 * What a store shows of an artifact before anything of it is fetched, also when all else is encrypted: enough to tell what a host could make
 * of it. Nobody's word yet: what counts is the manifest.
 */
export const outline = z.discriminatedUnion("kind", [
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal("capture"),
    id: captureId,
    createdAt: z.iso.datetime(),
    base: captureManifest.shape.base,
    resources,
    needs: machineNeeds,
    memory: captureManifest.shape.memory,
    resumes: z.boolean(),
    parts: z.array(outlinePart).max(64),
  }),
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal("snapshot"),
    id: z.string().regex(/^[0-9a-f]{16}$/),
    createdAt: z.iso.datetime(),
    resources,
    needs: machineNeeds,
    parts: z.array(outlinePart).max(64),
  }),
]);
export type Outline = z.infer<typeof outline>;

/** All that a client needs to carry it. */
export interface Artifact {
  kind: "snapshot" | "capture";
  id: string;
  /** The text of `manifest.json`. */
  manifest: string;
  outline: Outline;
  parts: WirePart[];
  /** A capture's base snapshot, which travels on its own. */
  base: string | null;
}

const MIB = 2 ** 20;
/** qcow2's own tables beyond a disk's size, headers of difference files. */
const OVERHEAD_BYTES = 64 * MIB;
const MAX_DEVICES_BYTES = 256 * MIB;
const MAX_JSON_BYTES = 64 * MIB;
/** zstd makes up to 32,000 of one; what machines are made of never comes near this. */
const MAX_RATIO = 4096;

/** What comes in under a manifest: read by the schemas, and bounded by what it says of its machine. */
export type Incoming =
  | { kind: "snapshot"; id: string; manifest: z.infer<typeof manifest>; text: string; parts: WirePart[] }
  | {
      kind: "capture";
      id: string;
      manifest: z.infer<typeof captureManifest>;
      text: string;
      parts: WirePart[];
    };

/** Throws `snapshot-corrupt` or `capture-corrupt` for whatever is not the manifest of something that thaw exports. */
export function readIncoming(kind: Artifact["kind"], text: string, parts: readonly WirePart[]): Incoming {
  const no = (why: string): EngineError =>
    new EngineError(kind === "snapshot" ? "snapshot-corrupt" : "capture-corrupt", `what comes in ${why}`, {
      hint: "export it anew where it came from",
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw no("has a manifest that is not JSON");
  }
  const parsed = kind === "snapshot" ? manifest.safeParse(value) : captureManifest.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw no(`has a manifest that is none of a ${kind}: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  const machine = resources.safeParse(parsed.data.resources);
  if (!machine.success) throw no("says it needs more than any machine has");
  const known = new Map(parts.map((part) => [part.name as string, part]));
  if (known.size !== parts.length) throw no("has a part twice");
  const incoming: Incoming =
    kind === "snapshot"
      ? { kind, id: snapshotId(text), manifest: manifest.parse(value), text, parts: [...parts] }
      : {
          kind: "capture",
          id: captureManifest.parse(value).id,
          manifest: captureManifest.parse(value),
          text,
          parts: [...parts],
        };
  if (incoming.kind === "capture" && incoming.manifest.memory === "none") {
    const found = incoming.manifest.parts.find(({ name }) => isMemoryPart(name));
    if (found) throw no(`says that its memory was left out, and has ${found.name}`);
  }
  const expected = expectedParts(incoming);
  for (const { name } of parts)
    if (!expected.some((one) => one.name === name))
      throw no(`has a part ${name} that its manifest does not name`);
  for (const one of expected) {
    const found = known.get(one.name);
    if (!found) throw no(`lacks the part ${one.name}`);
    if (one.sha256 !== null && found.sha256 !== one.sha256)
      throw no(`has another ${one.name} than its manifest says`);
    if (found.rawBytes !== one.rawBytes) throw no(`has a ${one.name} of another size than its manifest says`);
    const limit = limitOf(one.name, machine.data);
    if (found.rawBytes > limit)
      throw no(
        `has a ${one.name} that opens to ${found.rawBytes} bytes; ${limit} is the most for such a machine`,
      );
    if (found.sizeBytes > found.rawBytes + MIB + found.rawBytes / 64)
      throw no(`has a ${one.name} of ${found.sizeBytes} bytes for content of ${found.rawBytes}`);
    if (found.rawBytes > MIB * 16 + found.sizeBytes * MAX_RATIO)
      throw no(
        `has a ${one.name} that opens to ${Math.round(found.rawBytes / found.sizeBytes)} times its size`,
      );
  }
  return incoming;
}

/** Null: the digest of what travels is not in the manifest, that of its content is. */
function expectedParts(incoming: Incoming): { name: string; sha256: string | null; rawBytes: number }[] {
  return incoming.kind === "snapshot"
    ? incoming.manifest.parts.map(({ name, sizeBytes }) => ({
        name: `${name}.zst`,
        sha256: null,
        rawBytes: sizeBytes,
      }))
    : incoming.manifest.parts;
}

function limitOf(partName: string, { memoryMib, diskMib }: z.infer<typeof resources>): number {
  const name = partName.replace(/^before-/, "");
  if (name.endsWith(".json")) return MAX_JSON_BYTES;
  if (name.startsWith("memory") || name.startsWith("pages")) return memoryMib * MIB + OVERHEAD_BYTES;
  if (name.startsWith("devices")) return MAX_DEVICES_BYTES;
  // A workspace is copied onto the disk.
  return diskMib * MIB + OVERHEAD_BYTES;
}

export function outlineOf(incoming: Pick<Incoming, "kind" | "id" | "manifest" | "parts">): Outline {
  const { createdAt, resources: machine, needs } = incoming.manifest;
  const parts = incoming.parts.map(({ name, sizeBytes, rawBytes }) => ({ name, sizeBytes, rawBytes }));
  const common = { schema: 1, id: incoming.id, createdAt, resources: machine, needs, parts };
  if (incoming.kind === "snapshot") return outline.parse({ ...common, kind: "snapshot" });
  const { base, memory, resumes } = captureManifest.parse(incoming.manifest);
  return outline.parse({ ...common, kind: "capture", base, memory, resumes });
}

/** The name a manifest digest gives to an import: the same artifact comes in under the same name, and goes on where it was. */
export function importKey(text: string): string {
  return sha256(text).slice(0, 16);
}
