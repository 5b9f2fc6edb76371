import { parseTag } from "../arguments/tag.ts";
import { addListingFlags, type ListingFlags } from "../format/listing.ts";
import { addTravelCommands } from "../travel/commands.ts";
import type { Define } from "../verbs.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExample:\n  $ thaw snapshot ls");
  addListingFlags(command.command("ls").description("list snapshots"), "the snapshots")
    .addHelpText("after", "\nExample:\n  $ thaw snapshot ls --json")
    .action(async (flags: ListingFlags) => {
      const { list } = await import("./list.ts");
      await list(flags);
      exit(0);
    });
  command
    .command("inspect")
    .description("show a snapshot, its parts and its host requirements")
    .argument("<snapshot>", "a tag, an id, or a unique beginning of an id")
    .option("--json", "print the snapshot as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw snapshot inspect node:24")
    .action(async (snapshot: string, flags: JsonFlag) => {
      const { inspect } = await import("./inspect.ts");
      await inspect(snapshot, flags);
      exit(0);
    });
  command
    .command("tag")
    .description("give a snapshot another tag")
    .argument("<snapshot>", "a tag, an id, or a unique beginning of an id")
    .argument("<tag>", "NAME or NAME:VERSION", parseTag)
    .option("--json", "print the snapshot as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw snapshot tag node:24 node:lts")
    .action(async (snapshot: string, tag: string, flags: JsonFlag) => {
      const { tagSnapshot } = await import("./tag.ts");
      await tagSnapshot(snapshot, tag, flags);
      exit(0);
    });
  command
    .command("rm")
    .description("remove snapshots; if a snapshot has several tags, only the given tag")
    .argument("<snapshot...>", "tags, ids, or unique beginnings of ids")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw snapshot rm node:24")
    .action(async (snapshots: string[], flags: JsonFlag) => {
      const { actOnEach } = await import("../act-on-each.ts");
      exit(await actOnEach(snapshots, (client, snapshot) => client.snapshots.remove(snapshot), flags));
    });
  command
    .command("verify")
    .description("read every part of a snapshot and compare digests")
    .argument("<snapshot>", "a tag, an id, or a unique beginning of an id")
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw snapshot verify node:24")
    .action(async (snapshot: string, flags: JsonFlag) => {
      const { verify } = await import("./verify.ts");
      exit(await verify(snapshot, flags));
    });
  addTravelCommands(command, "snapshot", exit);
};
