/** Builds that were started from this page, and what they say. */
import type { Progress } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { Value } from "../../state/value.ts";

/** Lines that are kept of a build. */
const KEPT = 2000;

export interface Phase {
  name: string;
  state: "running" | "done";
  elapsedMs?: number | undefined;
  detail?: string | undefined;
}

export interface Build {
  isRunning: boolean;
  phases: readonly Phase[];
  lines: readonly string[];
  /** Why it failed. */
  failure?: string | undefined;
}

export const builds = new Value<ReadonlyMap<string, Build>>(new Map());

/** The build after one message of it. */
export function withProgress(build: Build, { subject, phase, state, elapsedMs, detail }: Progress): Build {
  if (state === "output") return { ...build, lines: [...build.lines, detail ?? ""].slice(-KEPT) };
  const name = `${subject}: ${phase}`;
  const next: Phase = { name, state: state === "done" ? "done" : "running", elapsedMs, detail };
  const at = build.phases.findLastIndex((each) => each.name === name && each.state === "running");
  const phases = at < 0 ? [...build.phases, next] : build.phases.with(at, next);
  return { ...build, phases };
}

/** Builds a template. @returns what to say of it */
export async function buildTemplate(
  template: string,
  { force, report }: { force: boolean; report: (text: string) => void },
): Promise<string> {
  const set = (change: (before: Build) => Build): void =>
    builds.set((all) => {
      const before = all.get(template) ?? { isRunning: true, phases: [], lines: [] };
      return new Map(all).set(template, change(before));
    });
  set(() => ({ isRunning: true, phases: [], lines: [] }));
  const onProgress = (progress: Progress): void => {
    set((before) => withProgress(before, progress));
    if (progress.state !== "output") report(`${progress.subject}: ${progress.phase} ${progress.state}`);
  };
  try {
    const snapshot = await thaw.templates.build({ template, force }, { onProgress });
    set((before) => ({ ...before, isRunning: false }));
    return `is built: ${snapshot.tags[0] ?? snapshot.id}`;
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    set((before) => ({ ...before, isRunning: false, failure }));
    throw error;
  }
}
