/**
 * The project file's shape: the one source for its checks, its types and the JSON Schema for editors.
 * Messages are noun phrases: a mistake is told as `VALUE is not PHRASE`.
 */
import { z } from "zod";
import { CAPTURE_TRIGGERS } from "../../api/closed-lists.ts";
import { DURATION_PATTERN, DURATION_PHRASE, parseDuration } from "../../api/duration.ts";
import { networkMode, networkRule } from "../../api/network.ts";
import {
  NAME_PATTERN,
  RUNNER_PATTERN,
  RUNNER_PHRASE,
  SANDBOX_NAME_PHRASE,
  sandboxNamePattern,
  USER_PATTERN,
} from "../../api/patterns.ts";
import { MEMORY_PHRASE, parseMemory, SIZE_PATTERN } from "../../api/size.ts";
import { isTemplatePath } from "./template-path.ts";

/** Says of a path in the file what it should be instead; undefined when it is fine. `source`: a template's, which must be there. */
export type CheckPath = (path: string, kind: "source" | "folder") => string | undefined;

export const MAX_RUNS = 200;

/** A string that `test` finds nothing wrong with. */
function text(phrase: string, test: RegExp): z.ZodString {
  return z.string(phrase).regex(test, phrase);
}

/** A string that `parse` makes a number of, or throws. */
function parsed(phrase: string, pattern: RegExp, parse: (text: string) => number) {
  return text(phrase, pattern)
    .transform((value, context): number => {
      try {
        return parse(value);
      } catch {
        context.addIssue({ code: "custom", message: phrase });
        return z.NEVER;
      }
    })
    .pipe(z.number());
}

const duration = parsed(DURATION_PHRASE, DURATION_PATTERN, parseDuration);
const timer = z.union(
  [
    z
      .literal("never")
      .transform(() => null)
      .pipe(z.null()),
    duration,
  ],
  `${DURATION_PHRASE}, or never`,
);
const flag = z.boolean("true or false");
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
const VARIABLE_PHRASE = "a variable's name: letters, digits and _";
const NETWORK_PHRASE = "none, open, audit, or a map with mode, allow and deny";
const NO_NUL = /^[^\0]*$/;
const value = text('a string; quote numbers and words such as "1" or "true"', NO_NUL);
const word = text("a string; quote numbers", NO_NUL);
const CPUS_PHRASE = "a whole number from 1 to 64";
const capturePhrase = `on-failure, always, never, or a list of ${CAPTURE_TRIGGERS.join(", ")}`;

/** A map whose keys match `key`. The values of badly named ones are checked too, which zod's own check of keys leaves out. */
function named<T extends z.ZodType>(phrases: { key: string; map: string }, key: RegExp, values: T) {
  return z
    .record(z.string(), values, phrases.map)
    .superRefine(
      (map, context) => {
        for (const name of Object.keys(map).filter((name) => !key.test(name)))
          context.addIssue({ code: "custom", path: [name], message: phrases.key, params: { about: "key" } });
      },
      { when: ({ value }) => typeof value === "object" && value !== null && !Array.isArray(value) },
    )
    .meta({ propertyNames: { pattern: key.source } });
}

/** What defaults and runs have in common. */
function settings(check: CheckPath) {
  const checked = (schema: z.ZodString, kind: "source" | "folder", isPath: (path: string) => boolean) =>
    schema.superRefine((path, context) => {
      const message = path !== "" && isPath(path) ? check(path, kind) : undefined;
      if (message !== undefined) context.addIssue({ code: "custom", message });
    });
  const template = text("a template's name, or a path to a template.yaml or its folder", /^[^\0]+$/);
  const folder = text("a folder, as a path from the project file; false for none", /^[^\0]+$/);
  return {
    path: checked(template, "source", () => true),
    keys: {
      template: checked(template, "source", isTemplatePath).describe(
        "The template: a name from `templates`, the name of a shipped template, or a path to a template.yaml or its folder. Default: base",
      ),
      snapshot: text("a snapshot's tag or id", /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/).describe(
        "The tag or id of a snapshot, instead of a template. It is never built",
      ),
      runner: text(RUNNER_PHRASE, RUNNER_PATTERN).describe(
        "The runner that makes the machine: qemu or gvisor. Default: the host's",
      ),
      workspace: z
        .union(
          [checked(folder, "folder", () => true), z.literal(false)],
          "a folder, as a path from the project file; false for none",
        )
        .describe(
          "The folder to copy to /workspace, where the command runs. The path is relative to the project file. false: copy nothing",
        ),
      ignore: flag.describe("Do not copy files that git ignores. Default: true"),
      env: named({ key: VARIABLE_PHRASE, map: "a map of names and values" }, VARIABLE_NAME, value).describe(
        "Environment variables of the command. For secrets, use `mask`",
      ),
      pass: z
        .array(text(VARIABLE_PHRASE, VARIABLE_NAME), "a list of variables' names")
        .describe("Variables to pass on from the caller's environment, if they are set there"),
      mask: z
        .array(text(VARIABLE_PHRASE, VARIABLE_NAME), "a list of variables' names")
        .describe("Like `pass`, for secrets: their values are masked in output and never stored on the host"),
      workdir: text("a folder of the sandbox", /^[^\0]+$/).describe(
        "The command's folder in the sandbox. Default: the workspace",
      ),
      user: text("a user: NAME, UID, NAME:GROUP or UID:GID", USER_PATTERN).describe(
        "The user that runs the command: NAME, UID, NAME:GROUP or UID:GID. Default: the template's user",
      ),
      cpus: z
        // not int(): its issue keeps the checks of the whole run from being made
        .number(CPUS_PHRASE)
        .multipleOf(1, CPUS_PHRASE)
        .min(1, CPUS_PHRASE)
        .max(64, CPUS_PHRASE)
        .describe(
          "Number of processors. If the number differs from the template's, the first run boots once more and keeps a snapshot",
        ),
      memory: parsed(MEMORY_PHRASE, SIZE_PATTERN, parseMemory).describe(
        "Memory, such as 512M or 2GiB. If the size differs from the template's, the first run boots once more and keeps a snapshot",
      ),
      timeout: duration.describe("Time limit of the command, after which it ends with exit code 124"),
      network: z
        .union(
          [
            networkMode,
            z
              .strictObject({
                mode: networkMode.describe("The policy for destinations that no rule names. Default: none"),
                allow: z
                  .array(networkRule, "a list of rules")
                  .describe(
                    "Allowed destinations: NAME, *.NAME, an address or a network, each also with :PORTS; host:PORT or @PRESET",
                  ),
                deny: z
                  .array(networkRule, "a list of rules")
                  .describe("Denied destinations. They take precedence over allow"),
              })
              .partial(),
          ],
          NETWORK_PHRASE,
        )
        .describe("The network policy: none, open, audit, or a map with mode, allow and deny"),
      capture: z
        .union(
          [
            z.enum(["on-failure", "always", "never"], capturePhrase),
            z.array(z.enum(CAPTURE_TRIGGERS, `one of ${CAPTURE_TRIGGERS.join(", ")}`)).min(1, capturePhrase),
          ],
          capturePhrase,
        )
        .describe("When to capture the whole machine: on-failure, always, never, or a list of triggers"),
      checkpoint: flag.describe(
        "With capture: also store the machine's state before the command, for reruns. Default: false",
      ),
      keep: flag.describe("Keep the sandbox after the command has ended. Default: false"),
      ttl: timer.describe(
        "Time to live: remove the sandbox this long after its creation, even if it is running",
      ),
      idle: timer.describe("Pause the sandbox after it was idle this long"),
      stopAfter: timer.describe("Freeze and stop the sandbox after it was paused this long"),
      removeAfter: timer.describe("Remove the sandbox after it was stopped or failed this long"),
      wait: duration.describe("When the host is full, wait this long for free capacity"),
      labels: named(
        { key: "a label's name, of 1 to 128 characters", map: "a map of names and values" },
        /^[^=\0]{1,128}$/,
        text("a string of 1024 characters at most; quote numbers", /^[^\0]{0,1024}$/),
      ).describe("Labels of the sandbox"),
    },
  };
}

/** `template` and `snapshot` exclude each other, in editors too. */
function oneSource<T extends z.core.$ZodLooseShape>(shape: T) {
  return z
    .strictObject(shape, "a map of settings")
    .partial()
    .superRefine(
      (given: { template?: unknown; snapshot?: unknown }, context) => {
        if (given.template === undefined || given.snapshot === undefined) return;
        context.addIssue({
          code: "custom",
          path: ["snapshot"],
          message: "allowed beside template: give one",
        });
      },
      { when: ({ value }) => typeof value === "object" && value !== null },
    )
    .meta({ not: { required: ["template", "snapshot"] } });
}

/** The schema of a file whose paths `check` judges. */
export function projectSchema(check: CheckPath) {
  const { path, keys } = settings(check);
  return z
    .strictObject(
      {
        version: z.literal(1, "1, the version of the format").describe("The version of the format: 1"),
        templates: named(
          {
            key: "a template's name: lower-case letters, digits and inner dashes",
            map: "a map of names and paths",
          },
          NAME_PATTERN,
          path,
        )
          .default({})
          .describe(
            "Names of this repository's templates, each with a path to a template.yaml or its folder",
          ),
        defaults: oneSource(keys).default({}).describe("Default settings of all runs"),
        runs: named(
          {
            key: "a run's name: letters, digits, . _ : and -, 64 at most",
            map: "a map of runs by name",
          },
          /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/,
          oneSource({
            description: text("a line of text, of 200 characters at most", /^[^\0\n]{0,200}$/).describe(
              "The purpose of the run, shown by `thaw run --list`",
            ),
            command: z
              .union(
                [text("a command", /^[^\0]*[^\0\s][^\0]*$/), z.array(word, "a command").min(1, "a command")],
                "a command: text for `sh -e -c`, or a list of a program and its arguments",
              )
              .describe("The command: a text runs in `sh -e -c`; a list is a program and its arguments"),
            name: text(`a sandbox's name: ${SANDBOX_NAME_PHRASE}`, sandboxNamePattern).describe(
              "The sandbox's name. Default: a random name",
            ),
            ...keys,
          }),
        )
          .refine((runs) => Object.keys(runs).length <= MAX_RUNS, `a map of ${MAX_RUNS} runs at most`)
          .default({})
          .describe("Runs by name: `thaw run NAME`"),
      },
      "a map with the keys version, templates, defaults and runs",
    )
    .meta({
      title: "thaw.yaml",
      description: "Project file of thaw: the named runs and templates of a repository",
    });
}

/** What a project file says. Durations are milliseconds, memory is MiB. */
export type ProjectFile = z.infer<ReturnType<typeof projectSchema>>;
export type RunDefinition = ProjectFile["runs"][string];
