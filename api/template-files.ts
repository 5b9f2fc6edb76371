/** Files that a recipe places in its machine, as its client sends them beside it: the daemon never opens a file that a client names. */
import { z } from "zod";
import { MAX_TEMPLATE_FILES, MAX_TEMPLATE_FILES_BYTES } from "./template-limits.ts";

/** Of a request with such files: base64, paths, the recipe. */
export const TEMPLATE_BODY_BYTES = 2 * MAX_TEMPLATE_FILES_BYTES;

export const templateFile = z.strictObject({
  data: z.base64().max(Math.ceil(MAX_TEMPLATE_FILES_BYTES / 3) * 4),
  executable: z.boolean().default(false),
});
/** By path, as the recipe names it: `conf/app.toml`; also those beneath folders that it names. */
export const templateFiles = z
  .record(z.string().min(1).max(1024), templateFile)
  .refine((files) => Object.keys(files).length <= MAX_TEMPLATE_FILES, `at most ${MAX_TEMPLATE_FILES} files`)
  .refine(
    (files) =>
      Object.values(files).reduce((sum, { data }) => sum + data.length, 0) <=
      (MAX_TEMPLATE_FILES_BYTES / 3) * 4 + 4 * MAX_TEMPLATE_FILES,
    `at most ${MAX_TEMPLATE_FILES_BYTES >> 20} MiB`,
  );

export type TemplateFiles = z.input<typeof templateFiles>;
