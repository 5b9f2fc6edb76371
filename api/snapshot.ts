import { z } from "zod";
import { removal } from "./host.ts";
import { execDefaults, machineNeeds, resources } from "./machine.ts";
import { listEnd } from "./page.ts";
import { templateFiles } from "./template-files.ts";
import { tag } from "./text.ts";

export const filePart = z.object({
  name: z.string(),
  sizeBytes: z.int(),
  storedBytes: z.int(),
  sha256: z.string(),
});
export const snapshot = z.object({
  id: z.string(),
  tags: z.array(z.string()),
  template: z.string().nullable(),
  createdAt: z.string(),
  resources,
  needs: machineNeeds,
  defaults: execDefaults,
  parts: z.array(filePart),
  /** Bytes on disk, holes not counted. */
  storedBytes: z.int(),
  /** Sandboxes thawed from it that exist now. */
  usedBy: z.array(z.string()),
  /** Why it can't be thawed on this host; empty when it can. */
  incompatible: z.array(z.string()),
});

export const snapshotList = z.object({ snapshots: z.array(snapshot), ...listEnd });

export const template = z.object({
  name: z.string(),
  description: z.string(),
  /** The tag a build gives, e.g. `node:24`. */
  tag: z.string(),
  from: z.string(),
  resources,
  /** The snapshot built from this very recipe, when there is one. */
  snapshot: z.string().nullable(),
});

export const buildRequest = z
  .object({
    template: z.string().max(64).optional(),
    recipe: z.string().max(262_144).optional(),
    /** Files that the recipe places in its machine, by path. */
    files: templateFiles.optional(),
    force: z.boolean().default(false),
  })
  .refine((b) => (b.template === undefined) !== (b.recipe === undefined), "give template or recipe");

export const templateName = z.string().min(1).max(64);
export const templatePruneReport = z.object({ dryRun: z.boolean(), steps: z.array(removal) });
/** Ids of what went. */
export const templateRemoval = z.object({ snapshots: z.array(z.string()), steps: z.array(removal) });

export const freezeRequest = z.object({ tag });
export const tagRequest = z.object({ tag });
export const partVerdict = z.object({ name: z.string(), ok: z.boolean(), reason: z.string().optional() });
export const verifyReport = z.object({
  snapshot: z.string(),
  ok: z.boolean(),
  parts: z.array(partVerdict),
});

export type Snapshot = z.infer<typeof snapshot>;
export type SnapshotList = z.infer<typeof snapshotList>;
export type Template = z.infer<typeof template>;
export type BuildRequest = z.input<typeof buildRequest>;
export type FreezeRequest = z.input<typeof freezeRequest>;
export type TemplatePruneReport = z.infer<typeof templatePruneReport>;
export type TemplateRemoval = z.infer<typeof templateRemoval>;
export type VerifyReport = z.infer<typeof verifyReport>;
