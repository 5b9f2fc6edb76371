/** What is kept of a failure beside the machine: the case file, the request that failed, and the manifest of a capture's parts. */
import { z } from "zod";
import { captureId, captureNotes, caseFile } from "../../api/case-file.ts";
import { machineNeeds, recordedResources } from "../../api/machine.ts";
import { digest } from "../../api/text.ts";
import { CAPTURE_PARTS, captureBase, captureMemory } from "../../api/travel.ts";
import { recordKind } from "../state/record.ts";

export const caseKind = recordKind("case file", caseFile);

export const capturePart = z.strictObject({
  name: z.enum(CAPTURE_PARTS),
  sizeBytes: z.int().min(0),
  sha256: digest,
  /** Uncompressed. */
  rawBytes: z.int().min(0),
});
export type CapturePart = z.infer<typeof capturePart>;

/** Small: what `check` reads before anything else of a capture travels. */
export const captureManifest = z.strictObject({
  schema: z.literal(1),
  kind: z.literal("capture"),
  id: captureId,
  createdAt: z.iso.datetime(),
  base: captureBase,
  resources: recordedResources,
  needs: machineNeeds,
  memory: captureMemory,
  /** False after a kernel's panic: its memory is for inspection only. */
  resumes: z.boolean(),
  parts: z
    .array(capturePart)
    .max(CAPTURE_PARTS.length)
    .refine((parts) => new Set(parts.map(({ name }) => name)).size === parts.length, "each part once"),
});
export const captureManifestKind = recordKind("capture manifest", captureManifest);
export type CaptureManifest = z.infer<typeof captureManifest>;

/** Before the name of a part that is the base snapshot's, in a finding. */
export const BASE_PREFIX = "base/";

export const notesKind = recordKind("capture notes", captureNotes);

/** The case file's schema for other programs, as it is kept in docs/case.schema.json. */
export function caseJsonSchema(): unknown {
  return z.toJSONSchema(caseFile, { io: "input" });
}
