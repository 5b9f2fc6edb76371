import { parseLines } from "../arguments/count.ts";
import type { Define } from "../verbs.ts";
import type { InstallFlags } from "./install.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    "\nClients start the daemon by themselves.\n\nExample:\n  $ thaw daemon status",
  );
  command
    .command("start")
    .description("start the daemon, unless it runs")
    .option(
      "--preview-listen <address:port>",
      "where previews are served; preview.listen in config.yaml stays when the daemon is started again",
    )
    .option("--json", "print what runs as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ thaw daemon start\n  $ thaw daemon start --preview-listen 127.0.0.1:7380",
    )
    .action(async (flags: JsonFlag & { previewListen?: string }) => {
      const { start } = await import("./start.ts");
      await start(flags);
      exit(0);
    });
  command
    .command("stop")
    .description("stop the daemon; its machines go on, and the next daemon adopts them")
    .option("--all", "its machines too: removes every sandbox that runs or is paused")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw daemon stop\n  $ thaw daemon stop --all")
    .action(async (flags: JsonFlag & { all?: boolean }) => {
      const { stop } = await import("./stop.ts");
      await stop(flags);
      exit(0);
    });
  command
    .command("stdio")
    .description("join stdin and stdout with a connection to the daemon: the far end of a context")
    .addHelpText("after", "\nExample:\n  $ ssh ci-3 thaw daemon stdio")
    .action(async () => {
      const { joinStdio } = await import("./stdio.ts");
      await joinStdio();
      exit(0);
    });
  command
    .command("status")
    .description("say whether the daemon runs; exits with 1 when it does not")
    .option("--json", "print what runs as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw daemon status --json")
    .action(async (flags: JsonFlag) => {
      const { status } = await import("./status.ts");
      exit(await status(flags));
    });
  command
    .command("install")
    .description("let systemd run the daemon; again after an update")
    .option("--system", "one for the whole host, for the users of the group thaw")
    .option("--print", "only show the unit")
    .addHelpText("after", "\nExamples:\n  $ thaw daemon install\n  $ sudo thaw daemon install --system")
    .action(async (flags: InstallFlags) => {
      const { install } = await import("./install.ts");
      await install(flags);
      exit(0);
    });
  command
    .command("logs")
    .description("print the daemon's log")
    .option("-f, --follow", "go on with what comes")
    .option("-n, --tail <lines>", "only the last lines", parseLines)
    .option("--json", "each line as a JSON string")
    .addHelpText("after", "\nExample:\n  $ thaw daemon logs -f")
    .action(async (flags: { follow?: boolean; tail?: number; json?: boolean }) => {
      const { showLogs } = await import("./logs.ts");
      await showLogs(flags);
      exit(0);
    });
};
