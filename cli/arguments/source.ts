import { type Command, Option } from "commander";
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

/** Flags for what a new sandbox starts from. */
export function addSourceFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--template <name|path>",
        "start from this template; it is built if needed (default: base)",
      ).conflicts("snapshot"),
    )
    .option(
      "--snapshot <tag|id|store>",
      "start from this snapshot; one in a store (oci:…, dir:…) is fetched first",
    );
}
