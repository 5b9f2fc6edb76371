import type { Hit, Rule } from "../finding.ts";
import { runsStrangersCode } from "../strangers-code.ts";
import { hasAny, PRIVILEGED } from "../triggers.ts";
import type { Value } from "../value.ts";
import type { Step, Workflow } from "../workflow.ts";

/** Actions that keep a cache when `input` is given, or (without an input) always, or unless it is `false`. */
const WRITERS: Record<string, { input: string; byDefault: boolean } | undefined> = {
  "actions/cache": { input: "lookup-only", byDefault: true },
  "actions/cache/save": { input: "", byDefault: true },
  "actions/setup-node": { input: "cache", byDefault: false },
  "actions/setup-python": { input: "cache", byDefault: false },
  "actions/setup-java": { input: "cache", byDefault: false },
  "actions/setup-dotnet": { input: "cache", byDefault: false },
  "actions/setup-go": { input: "cache", byDefault: true },
  "ruby/setup-ruby": { input: "bundler-cache", byDefault: false },
  "swatinem/rust-cache": { input: "save-if", byDefault: true },
  "astral-sh/setup-uv": { input: "enable-cache", byDefault: true },
  "gradle/actions/setup-gradle": { input: "cache-disabled", byDefault: true },
};
/** Inputs that turn a cache off when they are `true`. */
const TURNS_OFF = new Set(["lookup-only", "cache-disabled"]);

function writesCache(step: Step): Value | undefined {
  const writer = WRITERS[step.action?.name ?? ""];
  if (writer === undefined) return undefined;
  const given = step.input(writer.input);
  const text = given?.text?.toLowerCase();
  const place = given ?? step.uses;
  if (text === undefined || text === "") return writer.byDefault ? place : undefined;
  const isOff = TURNS_OFF.has(writer.input) ? text === "true" : text === "false";
  return isOff ? undefined : place;
}

export const strangersCache: Rule = {
  id: "cache-written-by-strangers",
  *find({ jobs }: Workflow): Generator<Hit> {
    for (const job of jobs) {
      if (!hasAny(job.triggers, PRIVILEGED) || runsStrangersCode(job) === undefined) continue;
      for (const step of job.steps) {
        const at = hasAny(step.triggers, PRIVILEGED) ? writesCache(step) : undefined;
        if (at === undefined) continue;
        yield {
          at,
          message:
            "a stranger's code runs in this job, and what it puts into the cache is restored in the default branch's own jobs",
          repair:
            "restore only (actions/cache/restore), or run the code in a `pull_request` job, whose caches are its own",
        };
      }
    }
  },
};
