import { type Command, Option } from "commander";
import { defined } from "../../api/defined.ts";
import { type CreateRequest, readTemplate } from "../../client/index.ts";

/** What a sandbox is thawed from, as the flags name it. */
export interface SourceFlags {
  template?: string;
  snapshot?: string;
  runner?: string;
  /** The project file, where names of templates are looked up first. Default: the nearest one. */
  file?: string;
}

/** The request's source for the flags; the daemon's default when neither is given. */
export async function readSource(flags: SourceFlags): Promise<NonNullable<CreateRequest["source"]>> {
  const runner = defined({ runner: flags.runner });
  if (flags.snapshot !== undefined) return { snapshot: flags.snapshot, ...runner };
  if (flags.template === undefined) return runner;
  return { ...(await readTemplate(flags.template, { file: flags.file })), ...runner };
}

export function runnerOption(): Option {
  return new Option("--runner <name>", "runner that makes the machine: qemu or gvisor (default: the host's)");
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
    )
    .addOption(runnerOption());
}
