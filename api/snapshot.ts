import { z } from "zod";
import { removal } from "./host.ts";
import { execDefaults, machineNeeds, resources, runnerName } from "./machine.ts";
import { listEnd } from "./page.ts";
import { templateFiles } from "./template-files.ts";
import { tag } from "./text.ts";

export const filePart = z.object({
  name: z.string(),
  sizeBytes: z.int(),
  storedBytes: z.int(),
  sha256: z.string(),
});
/** Packages of a machine, as its package manager had them when the machine was frozen. */
export const packageSummary = z.object({
  manager: z.enum(["dpkg", "apk"]),
  /** Distribution and release: `debian bookworm`; empty when the machine does not say it. */
  system: z.string(),
  count: z.int(),
  /** Those with a newer version in the index that this host fetched last; null: it has no index of this system. */
  outdated: z.int().nullable(),
  /** When this host fetched that index. */
  indexAt: z.string().nullable(),
});
export const snapshotPackages = z.object({
  /** null: none are known of this snapshot. */
  summary: packageSummary.nullable(),
  packages: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      architecture: z.string(),
      /** The newer version in the index; null: none is known. */
      newer: z.string().nullable(),
    }),
  ),
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
  /** null: not known, as of a sandbox that was frozen, or of a snapshot of elsewhere. */
  packages: packageSummary.nullable(),
});

export const snapshotList = z.object({ snapshots: z.array(snapshot), ...listEnd });

/** A machine that is kept after a step of a template, so that the next build can start there. */
export const templateStep = z.object({
  id: z.string(),
  /** `boot`, `files` or `setup: NAME`. */
  name: z.string(),
  createdAt: z.string(),
  /** When a build last used it. */
  usedAt: z.string(),
  /** Bytes on disk. A file that several steps share is counted with the oldest of them. */
  bytes: z.int(),
  /** Why a prune would remove it; null: it stays. */
  prunable: z.string().nullable(),
  /** Bytes that a prune would free with it. */
  freesBytes: z.int(),
});

export const template = z.object({
  name: z.string(),
  description: z.string(),
  /** The tag a build gives, e.g. `node:24`. */
  tag: z.string(),
  /** Empty when the host does not know it: it has no recipe of a template that was built of a client's. */
  from: z.string(),
  resources,
  /** Whether the recipe is shipped with the daemon. */
  shipped: z.boolean(),
  /** The snapshot built from this very recipe, when there is one. Without the recipe, the newest that was built of a template of this name. */
  snapshot: z.string().nullable(),
  /** When `snapshot` was built. */
  builtAt: z.string().nullable(),
  /** Of `snapshot`; null: not known. */
  packages: packageSummary.nullable(),
  /** Bytes on disk of all snapshots that were built of a template of this name on this host, holes not counted. */
  storedBytes: z.int(),
  /** Machines kept after its steps. Templates that begin alike share them. */
  steps: z.array(templateStep),
});

const recipeText = z.string().max(262_144);
export const buildRequest = z
  .object({
    template: z.string().max(64).optional(),
    recipe: recipeText.optional(),
    /** Files that the recipe places in its machine, by path. */
    files: templateFiles.optional(),
    /** Builds for this runner: `qemu` or `gvisor`. Default: the template's, else the host's. */
    runner: runnerName.optional(),
    /** Builds again, and every step of it. */
    force: z.boolean().default(false),
    /** Asks the mirror or the registry whether anything is outdated, and then builds that anew. */
    refresh: z.boolean().default(false),
  })
  .refine((b) => (b.template === undefined) !== (b.recipe === undefined), "give template or recipe");
export const describeRequest = z.object({ recipe: recipeText, files: templateFiles.optional() });

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

export type PackageSummary = z.infer<typeof packageSummary>;
export type SnapshotPackages = z.infer<typeof snapshotPackages>;
export type Snapshot = z.infer<typeof snapshot>;
export type SnapshotList = z.infer<typeof snapshotList>;
export type Template = z.infer<typeof template>;
export type DescribeRequest = z.input<typeof describeRequest>;
export type BuildRequest = z.input<typeof buildRequest>;
export type FreezeRequest = z.input<typeof freezeRequest>;
export type TemplatePruneReport = z.infer<typeof templatePruneReport>;
export type TemplateRemoval = z.infer<typeof templateRemoval>;
export type VerifyReport = z.infer<typeof verifyReport>;
