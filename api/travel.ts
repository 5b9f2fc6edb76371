/**
 * How a snapshot or a capture travels: its manifest, byte for byte, and its parts, each a stream of its own with a digest of its own. Names
 * are closed lists: an artifact from elsewhere can't name a host's file.
 */
import { z } from "zod";
import { levelVerdict, replayLevel } from "./capture.ts";
import { captureId } from "./case-file.ts";
import { machineNeeds } from "./machine.ts";
import { SNAPSHOT_ID_PATTERN } from "./patterns.ts";
import { digest } from "./text.ts";

/** A machine's chain is flattened when it is deeper than eight; a cut or two may come before that is done. */
export const MAX_LAYERS = 16;
/** Layers of a machine's disk, lowest first. */
export const layerNames = Array.from(
  { length: MAX_LAYERS },
  (_, index) => `layer-${index + 1}.qcow2` as const,
);
/** Parts that every snapshot has, in this order; layers of its disk follow. */
export const SNAPSHOT_PARTS = ["memory", "devices", "disk.qcow2"] as const;
/** Parts of a capture. `.zst`: compressed by zstd. */
export const CAPTURE_PARTS = [
  "case.json",
  "request.json",
  "workspace.zst",
  "pages.zst",
  "devices.zst",
  ...layerNames.map((name) => `${name}.zst` as const),
  // The machine as it was before the command, when that was asked for.
  "before-pages.zst",
  "before-devices.zst",
  ...layerNames.map((name) => `before-${name}.zst` as const),
] as const;
/** Parts as they travel: all that is not JSON is zstd. */
export const wireName = z.enum([
  ...new Set([...CAPTURE_PARTS, ...[...SNAPSHOT_PARTS, ...layerNames].map((name) => `${name}.zst` as const)]),
]);
export const MAX_MANIFEST_BYTES = 1 << 18;
const MAX_PARTS = 64;

export const wirePart = z.strictObject({
  name: wireName,
  sizeBytes: z.int().min(0),
  sha256: digest,
  /** Opened. */
  rawBytes: z.int().min(0),
});

/** A machine that can exist. */
export const machineSize = z.strictObject({
  cpus: z.int().min(1).max(64),
  memoryMib: z.int().min(1).max(1_048_576),
  diskMib: z.int().min(1).max(16_777_216),
});
export const captureBase = z.strictObject({ snapshot: z.string().regex(SNAPSHOT_ID_PATTERN), digest });
/**
 * `difference`: pages, devices and layers above the base. `whole`: the base is the machine itself. `none`: left out when it was published,
 * with the secrets in it.
 */
export const captureMemory = z.enum(["difference", "whole", "none"]);

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
    base: captureBase,
    resources: machineSize,
    needs: machineNeeds,
    memory: captureMemory,
    resumes: z.boolean(),
    parts: z.array(outlinePart).max(MAX_PARTS),
  }),
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal("snapshot"),
    id: z.string().regex(SNAPSHOT_ID_PATTERN),
    createdAt: z.iso.datetime(),
    resources: machineSize,
    needs: machineNeeds,
    parts: z.array(outlinePart).max(MAX_PARTS),
  }),
]);

const artifactKind = z.enum(["snapshot", "capture"]);
/** All that a client needs to carry a snapshot or a capture elsewhere. */
export const artifact = z.object({
  kind: artifactKind,
  id: z.string(),
  /** The text of its manifest, byte for byte. */
  manifest: z.string(),
  outline,
  /** As they travel: compressed. */
  parts: z.array(wirePart),
  /** A capture's base snapshot, which travels on its own. */
  base: z.string().nullable(),
});
export const importRequest = z.object({
  kind: artifactKind,
  manifest: z.string().max(MAX_MANIFEST_BYTES),
  parts: z.array(wirePart).max(MAX_PARTS),
});
export const importState = z.object({
  /** Null: it is here already. */
  import: z.string().nullable(),
  kind: artifactKind,
  id: z.string(),
  /** Bytes that are here already, by part. */
  received: z.record(z.string(), z.int()),
});
export const importParams = z.object({ import: z.string().regex(/^[0-9a-f]{16}$/) });
export const importPartParams = importParams.extend({ name: wireName });
export const partQuery = z.object({
  from: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
});
/** How a capture leaves its host: without its memory; with what is said to be no secret here. */
export const publishRequest = z.object({
  diskOnly: z.boolean().optional(),
  /** Kinds of findings, e.g. `private-key`. What was masked can't be allowed. */
  allow: z.array(z.string().max(64)).max(64).optional(),
});
export const capturePartQuery = partQuery.extend({
  diskOnly: z.enum(["0", "1"]).default("0"),
  /** Separated by commas. */
  allow: z.string().max(4096).default(""),
});
/** What a store says of a capture, and of its base. */
export const outlineCheckRequest = z.object({ capture: outline, base: outline.nullable() });
export const outlineCheck = z.object({
  capture: z.string(),
  levels: z.array(levelVerdict),
  best: replayLevel.nullable(),
  /** Bytes to be fetched: its own, and its base's when that is not on this host. */
  downloadBytes: z.int(),
  /** What `push --full` where it is would change; null when nothing. */
  full: z.string().nullable(),
});

/** A push by the daemon. */
export const pushRequest = z.strictObject({
  /** One of the host's stores: `GET /v1/stores`. */
  store: z.string().max(400),
});

export const pushed = z.object({
  /** What to pull it by. */
  reference: z.string(),
  id: z.string(),
  sentBytes: z.number(),
  /** That the store had already. */
  presentBytes: z.number(),
  encrypted: z.boolean(),
});

export const storeList = z.object({ stores: z.array(z.string()) });

export type PushedByHost = z.infer<typeof pushed>;
export type WirePart = z.infer<typeof wirePart>;
export type Outline = z.infer<typeof outline>;
export type Artifact = z.infer<typeof artifact>;
export type ImportRequest = z.infer<typeof importRequest>;
export type ImportState = z.infer<typeof importState>;
export type PublishRequest = z.infer<typeof publishRequest>;
export type OutlineCheck = z.infer<typeof outlineCheck>;
