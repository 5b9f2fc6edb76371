/**
 * A snapshot's manifest: what it is, what it needs of a host, and a digest of each part. Its own digest is the snapshot's id, so an
 * altered manifest no longer matches the folder it lies in.
 */
import { z } from "zod";
import { execDefaults, machineNeeds, recordedResources } from "../../api/machine.ts";
import { digest } from "../../api/text.ts";
import { layerNames, MAX_LAYERS, SNAPSHOT_PARTS } from "../../api/travel.ts";
import { sha256 } from "../../durable/digest.ts";
import { recordKind } from "../state/record.ts";

/** Names are a closed list: a manifest can't name a host's file. */
export const part = z.strictObject({
  name: z.enum([...SNAPSHOT_PARTS, ...layerNames]),
  sizeBytes: z.int().min(0),
  /** On disk when made; holes not counted. */
  storedBytes: z.int().min(0),
  sha256: digest,
});
export const manifest = z.strictObject({
  schema: z.literal(1),
  createdAt: z.iso.datetime(),
  /** Template it was built from and a digest of all that went in; null when frozen from a sandbox. */
  template: z.strictObject({ name: z.string(), buildKey: z.string() }).nullable(),
  /** Commands run before the freeze; again when a variant with other resources is booted. */
  warm: z.array(z.string()),
  /** Snapshot whose disk this one was booted from with other resources. */
  variantOf: z.string().nullable(),
  /** Capture or snapshot whose disk was booted cold on this host, where its memory could not be resumed. */
  bootedFrom: z.string().nullable().default(null),
  resources: recordedResources,
  needs: machineNeeds,
  defaults: execDefaults,
  parts: z
    .array(part)
    .min(SNAPSHOT_PARTS.length)
    .max(SNAPSHOT_PARTS.length + MAX_LAYERS)
    .refine(
      (parts) => parts.every(({ name }, index) => name === [...SNAPSHOT_PARTS, ...layerNames][index]),
      "memory, devices, disk.qcow2, then layers in order",
    ),
});

export const manifestKind = recordKind("snapshot manifest", manifest);
export type Manifest = z.infer<typeof manifest>;
export type Part = z.infer<typeof part>;

/** Names of the disk layers above `disk.qcow2`, lowest first. */
export function layersOf(value: Pick<Manifest, "parts">): string[] {
  return value.parts.slice(SNAPSHOT_PARTS.length).map(({ name }) => name);
}

/** Frozen from a sandbox while that ran, not quiesced as a build is. */
export function isFrozenLive(value: Manifest): boolean {
  return value.template === null && value.variantOf === null && value.bootedFrom === null;
}

export function encodeManifest(value: Manifest): { text: string; id: string } {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  return { text, id: snapshotId(text) };
}

/** 16 hex digits of the manifest's digest. */
export function snapshotId(manifestText: string): string {
  return sha256(manifestText).slice(0, 16);
}
