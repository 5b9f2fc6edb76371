/** Parses and checks `template.yaml`, and reports every mistake at once with its line and column. */
import { z } from "zod";
import { runnerName } from "../../api/machine.ts";
import { networkLayer, networkRule } from "../../api/network.ts";
import type { templateFiles } from "../../api/template-files.ts";
import { digest, size, tag } from "../../api/text.ts";
import { EngineError } from "../errors.ts";
import { OCI_PATTERN } from "../rootfs/image/reference.ts";
import { SUITE_HINT, SUITE_PATTERN } from "../rootfs/suites.ts";
import { checkYaml } from "../yaml-file.ts";
import { type SentFile, sentFiles } from "./sent-files.ts";

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/, "lower-case letters, digits and inner dashes");
const variables = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable's name"), z.string());
const user = z.string().min(1).max(64);
/** A path in the guest. */
const guestPath = z
  .string()
  .max(1024)
  .regex(/^\/[^\0]*$/, "an absolute path")
  .refine((path) => !path.split("/").includes(".."), "a path without ..");
/** A path in the recipe's folder, on the client. */
const besides = z
  .string()
  .min(1)
  .max(1024)
  .refine(
    (path) => !path.startsWith("/") && !path.split("/").includes(".."),
    "a path within the template's folder",
  );
const mode = z
  .union(
    [
      z
        .string()
        .regex(/^0?[0-7]{3,4}$/)
        .transform((text) => Number.parseInt(text, 8)),
      z.int().min(0).max(0o7777),
    ],
    "a mode such as 0644",
  )
  .optional();
const file = z.strictObject({
  from: besides,
  /** Of a file: a path, or a folder with a / at its end. Of a folder: where its files go. */
  to: guestPath,
  mode,
  /** Default: root. */
  owner: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}(:[a-z_][a-z0-9_-]{0,31})?$/, "USER or USER:GROUP")
    .optional(),
});
const download = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: "an http or https address" }).max(2048),
  sha256: digest,
  to: guestPath,
  mode,
});
const step = z.union([
  z
    .string()
    .min(1)
    .transform((run) => ({ name: run.split("\n", 1)[0] ?? run, run })),
  z.strictObject({ name: z.string().min(1).max(100), run: z.string().min(1) }),
]);
/** An entry of `setup`. */
const setupStep = z.union([
  step.options[0],
  step.options[1].extend({
    /** Default: root. */
    user: user.optional(),
    env: variables.optional(),
  }),
]);

const FROM_PATTERN = new RegExp(`^debian:${SUITE_PATTERN.source.slice(1)}|${OCI_PATTERN.source}`);
const from = z
  .string()
  .superRefine((text, context) => {
    if (FROM_PATTERN.test(text)) return;
    const message = text.startsWith("oci:")
      ? "oci:HOST[:PORT]/REPOSITORY[:TAG][@sha256:DIGEST], e.g. oci:docker.io/library/ubuntu:24.04"
      : text.startsWith("debian:")
        ? `debian:SUITE is ${SUITE_HINT}`
        : "debian:SUITE or oci:HOST/REPOSITORY:TAG, e.g. debian:bookworm";
    context.addIssue({ code: "custom", message });
  })
  // The JSON Schema does not get it from the refinement, whose messages are better than a pattern's.
  .meta({ pattern: FROM_PATTERN.source });

const fields = z.strictObject({
  name,
  description: z.string().max(200).default(""),
  /** Defaults to the name. */
  tag: tag.optional(),
  from,
  /** Makes its machines. Default: the host's. */
  runner: runnerName.optional(),
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "a Debian package's name")).default([]),
  /** Files of the template's folder that are placed before the first step. */
  files: z.array(file).max(100).default([]),
  /** Files that the host downloads and that are placed before the first step. */
  fetch: z.array(download).max(100).default([]),
  setup: z.array(setupStep).max(100).default([]),
  env: variables.default({}),
  /** Defaults to the root file system's. */
  user: user.optional(),
  workdir: z.string().startsWith("/", "an absolute path").optional(),
  warm: z.array(step).default([]),
  /** Run as root in each new clone, before it is used. */
  onThaw: z.array(step).max(100).default([]),
  resources: z
    .strictObject({
      cpus: z.int().min(1).max(64).default(1),
      memory: size.default(512),
      disk: size.default(4096),
    })
    .default({ cpus: 1, memory: 512, disk: 4096 }),
  /** Rules of what setup steps may reach. */
  network: z.array(networkRule).max(100).default([]),
  /** Settings that sandboxes of this template start with. */
  sandboxes: z.strictObject({ network: networkLayer.default({}) }).default({ network: {} }),
});

export const recipe = fields.superRefine(({ from, packages }, context) => {
  if (packages.length === 0 || from.startsWith("debian:")) return;
  const message = "packages are Debian's; install an image's own in `setup`";
  context.addIssue({ code: "custom", path: ["packages"], message });
});

export interface Recipe extends z.infer<typeof recipe> {
  /** `files`, with what was sent of them. */
  sent: readonly SentFile[];
}
export type Step = Recipe["setup"][number];

/** Throws `invalid-template` with every mistake as `FILE:LINE:COLUMN: what`, or naming a file that was not sent. */
export function parseRecipe(text: string, file: string, sent: z.infer<typeof templateFiles> = {}): Recipe {
  const checked = checkYaml(text, { file, shape: recipe, whole: "template" });
  if ("value" in checked) return { ...checked.value, sent: sentFiles(checked.value.files, sent) };
  const { mistakes } = checked;
  throw new EngineError(
    "invalid-template",
    `${file} has ${mistakes.length} mistake${mistakes.length === 1 ? "" : "s"}`,
    { details: mistakes },
  );
}

/** The recipe's schema for editors, as it is kept in docs/template.schema.json. */
export function recipeJsonSchema(): unknown {
  return z.toJSONSchema(recipe, { io: "input" });
}
