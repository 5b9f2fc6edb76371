/** `template.yaml`: parsed, checked, every mistake at once with its line and column. */
import { z } from "zod";
import { networkLayer, networkRule } from "../../api/network.ts";
import { size, tag } from "../../api/text.ts";
import { EngineError } from "../errors.ts";
import { checkYaml } from "../yaml-file.ts";

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/, "lower-case letters, digits and inner dashes");
const step = z.union([
  z
    .string()
    .min(1)
    .transform((run) => ({ name: run.split("\n", 1)[0] ?? run, run })),
  z.strictObject({ name: z.string().min(1).max(100), run: z.string().min(1) }),
]);

export const recipe = z.strictObject({
  name,
  description: z.string().max(200).default(""),
  /** Defaults to the name. */
  tag: tag.optional(),
  from: z.string().regex(/^debian:[a-z]+$/, "debian:SUITE, e.g. debian:bookworm"),
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "a Debian package's name")).default([]),
  setup: z.array(step).default([]),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable's name"), z.string()).default({}),
  /** Defaults to the root file system's. */
  user: z.string().min(1).max(64).optional(),
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
  /** What setup steps may reach. */
  network: z.array(networkRule).max(100).default([]),
  /** What its sandboxes start with. */
  sandboxes: z.strictObject({ network: networkLayer.default({}) }).default({ network: {} }),
});

export type Recipe = z.infer<typeof recipe>;
export type Step = Recipe["setup"][number];

/** Throws `invalid-template` with every mistake as `FILE:LINE:COLUMN: what`. */
export function parseRecipe(text: string, file: string): Recipe {
  const checked = checkYaml(text, { file, shape: recipe, whole: "template" });
  if ("value" in checked) return checked.value;
  const { mistakes } = checked;
  throw new EngineError(
    "invalid-template",
    `${file} has ${mistakes.length} mistake${mistakes.length === 1 ? "" : "s"}`,
    { details: mistakes },
  );
}
