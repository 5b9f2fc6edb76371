import { chooseContext, findPaths, isNobodyThere } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { formatAge } from "../format/age.ts";
import { formatSize } from "../format/size.ts";
import { formatPairs } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw daemon status`. Starts nothing. @returns 0 when the daemon runs, else 1. */
export async function status(flags: { json?: boolean }): Promise<number> {
  const context = chooseContext();
  const { home, socket } = findPaths();
  const where = context.remote?.url ?? socket;
  try {
    const info = await withClient((client) => client.host.info({ anyVersion: true }), {
      autostart: false,
      context,
    });
    if (flags.json === true) {
      const place = context.remote === undefined ? { socket } : { context: context.name };
      printJson({ running: true, ...place, ...info });
      return 0;
    }
    const pairs: [string, string][] = [
      ["daemon", `running ${formatAge(info.startedAt).replace(" ago", "")}, process ${info.pid}`],
      ["version", info.version],
      ["state", info.home],
      [context.remote === undefined ? "socket" : "host", where],
      ["sandboxes", String(info.sandboxes)],
      ["memory", formatSize(info.rssBytes)],
    ];
    writeOut(formatPairs(pairs));
    return 0;
  } catch (error) {
    if (context.remote !== undefined || !isNobodyThere(error)) throw error;
    if (flags.json === true) printJson({ running: false, socket, home });
    else writeOut(`not running (socket ${socket}): thaw daemon start\n`);
    return 1;
  }
}
