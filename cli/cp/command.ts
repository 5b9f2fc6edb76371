import { parseUser } from "../arguments/user.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import type { Define } from "../verbs.ts";
import type { CpFlags } from "./cp.ts";

export const define: Define = (command, exit) => {
  addQuietFlag(
    command
      .argument("<from>", "SANDBOX:/path, CAPTURE:/path, a path here, or - for a tar archive from stdin")
      .argument("<to>", "a path here, SANDBOX:/path, or - for a tar archive to stdout")
      .option(
        "-u, --user <user>",
        "whose the copies in the sandbox are (default: who commands run as)",
        parseUser,
      )
      .option("--json", "print what was copied as JSON")
      .option("--verbose", "say whether a capture's files come from its memory or from its disk"),
  )
    .addHelpText(
      "after",
      `
As cp -r: into a folder that is there, else under the name given; FOLDER/. means what is in it. Modes, times and holes are
kept. Out of a sandbox, links that lead out of what is copied are left out, by name; the exit code is then 1.
Extended attributes (access lists and capabilities, too) are not copied: the files that have some are named, though not
out of a capture's disk. An archive has links as they are. Nothing becomes set-user-id here; what would have is named.

Examples:
  $ thaw cp ./src web:/workspace
  $ thaw cp web:/var/log/app.log .
  $ thaw cp web:/etc/. ./etc-of-web
  $ tar c . | thaw cp - web:/srv                     (into a folder that is there)
  $ thaw cp web:/var/log - | gzip > log.tar.gz
  $ thaw cp web:/tmp/core /dev/stdout | gzip > core.gz      (a file's bytes; /dev/stdin for the other way)
  $ thaw cp fail-7k2qxz:/workspace/report.xml .      (the failed machine's, as it was)`,
    )
    .action(async (from: string, to: string, flags: CpFlags) => {
      const { copy } = await import("./cp.ts");
      exit(await copy(from, to, flags));
    });
};
