import { parseUser } from "../arguments/user.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { CpFlags } from "./cp.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument(
        "<from>",
        "SANDBOX:/path, CAPTURE:/path, a path on this machine, or - for a tar archive from stdin",
      )
      .argument("<to>", "a path on this machine, SANDBOX:/path, or - for a tar archive to stdout")
      .option(
        "-u, --user <user>",
        "owner of the copies in the sandbox (default: the user that commands run as)",
        parseUser,
      )
      .option("--json", "print what was copied as JSON")
      .option("--verbose", "tell whether a capture's files come from its memory or from its disk"),
  )
    .addHelpText(
      "after",
      `
Works as cp -r: into an existing folder, else to the given name; FOLDER/. is the content of the folder. Modes, times and holes are
kept. When copying out of a sandbox, links to places outside the copied folder are skipped and reported; the exit code is then 1.
Extended attributes (also ACLs and capabilities) are not copied; files that have some are reported, except from
a capture's disk. A tar archive keeps all links. Set-user-id bits are dropped on this machine, and reported.

Examples:
  $ thaw cp ./src web:/workspace
  $ thaw cp web:/var/log/app.log .
  $ thaw cp web:/etc/. ./etc-of-web
  $ tar c . | thaw cp - web:/srv                     (into an existing folder)
  $ thaw cp web:/var/log - | gzip > log.tar.gz
  $ thaw cp web:/tmp/core /dev/stdout | gzip > core.gz      (a file's bytes; /dev/stdin for the other way)
  $ thaw cp fail-7k2qxz:/workspace/report.xml .      (a file of the failed machine)`,
    )
    .action(async (from: string, to: string, flags: CpFlags) => {
      const { copy } = await import("./cp.ts");
      exit(await copy(from, to, flags));
    });
};
