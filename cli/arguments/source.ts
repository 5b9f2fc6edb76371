import { type CreateRequest, readTemplate } from "../../client/index.ts";

/** What a sandbox is thawed from, as the flags name it. */
export interface SourceFlags {
  template?: string;
  snapshot?: string;
  /** The project file, where names of templates are looked up first. Default: the nearest one. */
  file?: string;
}

/** The request's source for the flags; the daemon's default when neither is given. */
export async function readSource(flags: SourceFlags): Promise<NonNullable<CreateRequest["source"]>> {
  if (flags.snapshot !== undefined) return { snapshot: flags.snapshot };
  return flags.template === undefined ? {} : readTemplate(flags.template, { file: flags.file });
}
