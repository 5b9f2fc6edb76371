/** Machines that are ready before anybody asks for a sandbox. */
import { z } from "zod";
import { tag } from "./text.ts";

const size = z.int().min(0).max(64);
const cpus = z.int().min(1).max(64).optional();
const memoryMib = z.int().min(64).max(1_048_576).optional();

export const pool = z.object({
  /** A template's name or a snapshot's tag. An automatic pool is called what its sandboxes were thawed from. */
  name: z.string(),
  /** Other than its snapshot's own. */
  ...{ cpus, memoryMib },
  /** How many spares it should have. */
  size: z.int(),
  /** What its spares were thawed from; null: not known yet. */
  snapshot: z.string().nullable(),
  /** How many spares it has. */
  ready: z.int(),
  /** Sandboxes that were claimed from it since the daemon started, and those that found no spare. */
  hits: z.int(),
  misses: z.int(),
  /** When its oldest spare was made. */
  oldestAt: z.string().nullable(),
  /** Why it has fewer spares than it should. */
  problem: z.string().nullable(),
});

export const poolList = z.object({
  /** Pools follow the last hour's use. */
  auto: z.boolean(),
  pools: z.array(pool),
});

/** Of one pool; 0: it ends. */
export const poolSize = z.strictObject({ size, cpus, memoryMib });
/** Of all pools: by use, or none. */
export const poolMode = z.strictObject({ mode: z.enum(["auto", "off"]) });
export const poolName = tag;

export type Pool = z.infer<typeof pool>;
export type PoolList = z.infer<typeof poolList>;
export type PoolSize = z.infer<typeof poolSize>;
export type PoolMode = z.infer<typeof poolMode>;
