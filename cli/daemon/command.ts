import { parseLines } from "../arguments/count.ts";
import type { Define } from "../verbs.ts";
import type { InstallFlags } from "./install.ts";
import type { StartFlags } from "./start.ts";

type JsonFlag = { json?: boolean };

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    "\nEvery command that needs the daemon starts it if it is not running.\n\nExample:\n  $ thaw daemon status",
  );
  command
    .command("start")
    .description("start the daemon, unless it is running")
    .option(
      "--preview-listen <address:port>",
      "serve previews at this address until the daemon ends; to set it permanently: preview.listen in config.yaml",
    )
    .option(
      "--listen <address:port>",
      "serve the API at this address, to clients with a token, until the daemon ends; to set it permanently: listen in config.yaml",
    )
    .option("--tls-cert <file>", "a certificate in PEM for --listen")
    .option("--tls-key <file>", "the certificate's key")
    .option("--json", "print the daemon's status as JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw daemon start\n  $ thaw daemon start --listen 127.0.0.1:7878")
    .action(async (flags: StartFlags) => {
      const { start } = await import("./start.ts");
      await start(flags);
      exit(0);
    });
  command
    .command("stop")
    .description("stop the daemon; its machines keep running, and the next daemon adopts them")
    .option("--all", "also end its machines: removes every running and paused sandbox")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExamples:\n  $ thaw daemon stop\n  $ thaw daemon stop --all")
    .action(async (flags: JsonFlag & { all?: boolean }) => {
      const { stop } = await import("./stop.ts");
      await stop(flags);
      exit(0);
    });
  command
    .command("stdio")
    .description("connect stdin and stdout to the daemon; a context runs this on its host")
    .addHelpText("after", "\nExample:\n  $ ssh ci-3 thaw daemon stdio")
    .action(async () => {
      const { joinStdio } = await import("./stdio.ts");
      await joinStdio();
      exit(0);
    });
  command
    .command("status")
    .description("show whether the daemon is running; the exit code is 1 if it is not")
    .option("--json", "print the daemon's status as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw daemon status --json")
    .action(async (flags: JsonFlag) => {
      const { status } = await import("./status.ts");
      exit(await status(flags));
    });
  command
    .command("install")
    .description("install the daemon as a systemd service; run this again after an update")
    .option("--system", "one daemon for the whole host, for the users in the group thaw")
    .option("--print", "only print the systemd unit")
    .addHelpText("after", "\nExamples:\n  $ thaw daemon install\n  $ sudo thaw daemon install --system")
    .action(async (flags: InstallFlags) => {
      const { install } = await import("./install.ts");
      await install(flags);
      exit(0);
    });
  command
    .command("logs")
    .description("print the daemon's log")
    .option("-f, --follow", "keep printing as more comes")
    .option("-n, --tail <lines>", "only the last lines", parseLines)
    .option("--json", "print each line as a JSON object")
    .addHelpText("after", "\nExample:\n  $ thaw daemon logs -f")
    .action(async (flags: { follow?: boolean; tail?: number; json?: boolean }) => {
      const { showLogs } = await import("./logs.ts");
      await showLogs(flags);
      exit(0);
    });
};
