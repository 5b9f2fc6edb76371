/** `$THAW_HOME/config.yaml`: what a host's operator decides. Read when the daemon starts; every mistake is told at once. */
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { z } from "zod";
import { duration, size } from "./duration.ts";
import { EngineError } from "./errors.ts";

const orNever = z.union([z.literal("never").transform(() => null), duration]);

/** Of captures; what is absent is not limited. */
const budget = z.strictObject({
  maxCount: z.int().min(1).max(1_000_000).optional(),
  maxBytes: size.optional(),
  maxAge: duration.optional(),
});

const config = z.strictObject({
  /** For sandboxes that do not say otherwise. */
  defaults: z
    .strictObject({
      ttl: orNever.optional(),
      idle: orNever.optional(),
      stopAfter: orNever.optional(),
      removeAfter: orNever.optional(),
    })
    .default({}),
  limits: z
    .strictObject({
      sandboxes: z.int().min(1).max(100_000).optional(),
      /** Of all machines together: what they own, and what is claimed for them. */
      memory: size.optional(),
      /** One part in this many of what machines may still come to own is kept for them; 1: no over-commit. */
      overcommit: z.number().min(1).max(1_000).optional(),
      /** Left available to the rest of the host. */
      reserveMemory: size.optional(),
      /** Of all sandboxes' folders together. */
      disk: size.optional(),
      /** Left free on the disk of the state folder. */
      freeDisk: size.optional(),
      /** Output of execs, of all sandboxes together. */
      logs: size.optional(),
      sandbox: z
        .strictObject({
          cpus: z.int().min(1).max(64).optional(),
          memory: size.optional(),
          /** Of its folder: what it has written to its disk, logs, what is kept of it when it is frozen. */
          disk: size.optional(),
          ttl: duration.optional(),
          logs: size.optional(),
        })
        .default({}),
    })
    .default({ sandbox: {} }),
  captures: budget
    .extend({
      /** Of each repository's. */
      perRepository: budget.default({}),
    })
    .default({ perRepository: {} }),
});
export type Config = z.infer<typeof config>;

/** Throws `usage` with every mistake as `config.yaml:LINE: …` or `config.yaml: KEY: …`. */
export function parseConfig(text: string, file = "config.yaml"): Config {
  const document = parseDocument(text, { prettyErrors: true });
  const mistakes = document.errors.map(({ message }) => `${file}: ${message.split("\n", 1)[0]}`);
  if (mistakes.length === 0) {
    const parsed = config.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {});
    if (parsed.success) return parsed.data;
    mistakes.push(...parsed.error.issues.flatMap(describe).map((mistake) => `${file}: ${mistake}`));
  }
  throw new EngineError(
    "usage",
    `${file} has ${mistakes.length} mistake${mistakes.length === 1 ? "" : "s"}`,
    {
      details: mistakes,
      hint: `mend ${file}, then try again`,
    },
  );
}

/** The host's configuration; an absent file is an empty one. */
export function readConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return parseConfig("", path);
    throw new EngineError("host-not-ready", `${path} can't be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return parseConfig(text, path);
}

function describe(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => `${[at, key].filter(Boolean).join(".")}: there is no such key`);
  const message = issue.code === "invalid_union" ? "never, or a length of time such as 10m" : issue.message;
  return [`${at || "the file"}: ${message}`];
}
