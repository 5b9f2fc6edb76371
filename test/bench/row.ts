/** A row of the table: what was measured, against what, and what it must reach. */
import { median } from "./median.ts";

export type Unit = "ms" | "s" | "MB/s" | "MiB" | "B" | "%" | "events" | "cores";

/** What was measured several times in one run. */
export interface Figure {
  unit: Unit;
  samples: number[];
  median: number;
}

export interface Peer extends Figure {
  /** What ours is held against. */
  what: string;
}

export interface Target {
  /** `ratio` is ours to the peer's, `inverse` the peer's to ours ("times faster"), `ours` the figure itself. */
  of: "ratio" | "inverse" | "ours";
  bound: "at most" | "at least" | "less than";
  value: number;
}

export interface Row {
  name: string;
  ours?: Figure;
  against?: Peer;
  target?: Target;
  /** Why there is nothing to show, or what a reader should know. */
  note?: string;
}

export type Verdict = "ok" | "miss" | "not measured" | "";

export function figure(unit: Unit, samples: number[]): Figure {
  return { unit, samples, median: median(samples) };
}

export function peer(what: string, unit: Unit, samples: number[]): Peer {
  return { what, ...figure(unit, samples) };
}

/** The ratio of the medians, the way the target counts it; undefined without a peer. */
export function ratioOf({ ours, against, target }: Row): number | undefined {
  if (ours === undefined || against === undefined) return undefined;
  const ratio = ours.median / against.median;
  return target?.of === "inverse" ? 1 / ratio : ratio;
}

export function verdictOf(row: Row): Verdict {
  const { ours, target } = row;
  if (ours === undefined) return "not measured";
  if (target === undefined) return "";
  const value = target.of === "ours" ? ours.median : ratioOf(row);
  if (value === undefined) return "not measured";
  return meets(value, target) ? "ok" : "miss";
}

function meets(value: number, { bound, value: limit }: Target): boolean {
  if (bound === "at least") return value >= limit;
  return bound === "at most" ? value <= limit : value < limit;
}
