/**
 * How a snapshot or a capture travels: its manifest, byte for byte, and its parts, each a stream of its own with a digest of its own. What is
 * raw on disk is compressed on the way. Names are closed lists: what comes in can't name a host's file.
 */
import type { z } from "zod";
import { CACHE_ROOM_MIB } from "../../api/machine.ts";
import { type Artifact, machineSize, type Outline, outline, type WirePart } from "../../api/travel.ts";
import { sha256 } from "../../durable/digest.ts";
import { captureManifest } from "../captures/case-file.ts";
import { isMemoryPart } from "../captures/publish.ts";
import { EngineError } from "../errors.ts";
import { manifest, snapshotId } from "../snapshots/manifest.ts";

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
    new EngineError(
      kind === "snapshot" ? "snapshot-corrupt" : "capture-corrupt",
      `the imported ${kind} ${why}`,
      {
        hint: "export it again on the original host",
      },
    );
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
  const machine = machineSize.safeParse(parsed.data.resources);
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
        `has a ${one.name} that decompresses to ${found.rawBytes} bytes; ${limit} is the limit for such a machine`,
      );
    if (found.sizeBytes > found.rawBytes + MIB + found.rawBytes / 64)
      throw no(`has a ${one.name} of ${found.sizeBytes} bytes for content of ${found.rawBytes}`);
    if (found.rawBytes > MIB * 16 + found.sizeBytes * MAX_RATIO)
      throw no(
        `has a ${one.name} that decompresses to ${Math.round(found.rawBytes / found.sizeBytes)} times its size`,
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

function limitOf(partName: string, { memoryMib, diskMib }: z.infer<typeof machineSize>): number {
  const name = partName.replace(/^before-/, "");
  if (name.endsWith(".json")) return MAX_JSON_BYTES;
  if (name.startsWith("memory") || name.startsWith("pages")) return memoryMib * MIB + OVERHEAD_BYTES;
  if (name.startsWith("devices")) return MAX_DEVICES_BYTES;
  // A workspace is copied onto the disk.
  return (diskMib + CACHE_ROOM_MIB) * MIB + OVERHEAD_BYTES;
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
