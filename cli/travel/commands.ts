import type { Command } from "commander";
import { parseTag } from "../arguments/tag.ts";
import { addQuietFlag } from "../progress/quiet.ts";
import {
  addEncryptFlag,
  addPublishFlags,
  addReadFlags,
  addWriteFlags,
  type ReadFlags,
  type WriteFlags,
} from "./flags.ts";

type Kind = "capture" | "snapshot";
type JsonFlag = { json?: boolean };
type TagFlag = { tag?: string };

const WHERE = "oci:HOST[:PORT]/REPOSITORY[:TAG], dir:PATH[:TAG], or a path";

/** Adds `push`, `pull`, `export` and `import`, which are alike for both. */
export function addTravelCommands(command: Command, kind: Kind, exit: (code: number) => void): void {
  const reference =
    kind === "capture"
      ? "an id, a unique beginning of one, or latest"
      : "a tag, an id, or a unique beginning of an id";
  const own = kind === "capture" ? "latest" : "node:24";
  const id = kind === "capture" ? "fail-7k2qxz" : "node-24";
  const along = kind === "capture" ? ", with its base snapshot" : "";
  const withPublish = (to: Command): Command => (kind === "snapshot" ? to : addPublishFlags(to));
  const withTag = (to: Command): Command =>
    kind === "capture"
      ? to
      : to.option("--tag <name>", "the tag on this host: NAME or NAME:VERSION", parseTag);

  withPublish(
    addWriteFlags(
      addQuietFlag(
        command
          .command("push")
          .description(`send a ${kind} to a store${along}; parts that the store has already are skipped`)
          .argument(`<${kind}>`, reference)
          .argument("<store>", `${WHERE} (default tag: its id)`)
          .option("--json", "print the result as JSON"),
      ),
    ),
  )
    .addHelpText(
      "after",
      `\nExample:\n  $ thaw ${kind} push ${own} oci:registry.example/${kind}s${kind === "snapshot" ? ":node-24" : ""}`,
    )
    .action(async (name: string, store: string, flags: JsonFlag & WriteFlags) => {
      const { pushTo } = await import("./push.ts");
      await pushTo(kind, name, store, flags);
      exit(0);
    });

  withTag(
    addReadFlags(
      addQuietFlag(
        command
          .command("pull")
          .description(`fetch a ${kind} from a store${along}`)
          .argument("<store>", WHERE)
          .option("--json", "print the result as JSON"),
      ),
    ),
  )
    .addHelpText(
      "after",
      `\nAfter an interruption, the same command continues the transfer.\n\nExample:\n  $ thaw ${kind} pull oci:registry.example/${kind}s:${id}`,
    )
    .action(async (store: string, flags: JsonFlag & ReadFlags & TagFlag) => {
      const { pullFrom } = await import("./pull.ts");
      await pullFrom(kind, store, flags);
      exit(0);
    });

  withPublish(
    addEncryptFlag(
      addQuietFlag(
        command
          .command("export")
          .description(`write a ${kind} to one file${along}`)
          .argument(`<${kind}>`, reference)
          .argument("<file>", "the file to create")
          .option("--json", "print the result as JSON"),
      ),
    ),
  )
    .addHelpText("after", `\nExample:\n  $ thaw ${kind} export ${own} ${id}.thaw`)
    .action(async (name: string, file: string, flags: JsonFlag & WriteFlags) => {
      const { exportTo } = await import("./push.ts");
      await exportTo(kind, name, file, flags);
      exit(0);
    });

  withTag(
    addReadFlags(
      addQuietFlag(
        command
          .command("import")
          .description(`read a ${kind} from a file written by export`)
          .argument("<file>", "the file")
          .option("--json", "print the result as JSON"),
      ),
    ),
  )
    .addHelpText("after", `\nExample:\n  $ thaw ${kind} import ${id}.thaw`)
    .action(async (file: string, flags: JsonFlag & ReadFlags & TagFlag) => {
      const { importFrom } = await import("./pull.ts");
      await importFrom(kind, file, flags);
      exit(0);
    });
}
