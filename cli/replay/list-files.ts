import { ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { describeDiskAge } from "../format/disk-age.ts";
import { formatMode } from "../format/mode.ts";
import { formatSize } from "../format/size.ts";
import { formatTable } from "../format/table.ts";
import { printJson, styleErr, writeErr, writeOut } from "../output.ts";

/** `thaw replay --level files [PATH…]`: what is on the captured disk; nothing is booted. @returns 0. */
export async function listFiles(
  capture: string,
  paths: readonly string[],
  flags: { json?: boolean },
): Promise<number> {
  const wrong = paths.find((path) => !path.startsWith("/"));
  if (wrong !== undefined)
    throw new ThawError("usage", `${wrong}: with --level files, give absolute paths after the capture`, {
      hint: `thaw replay ${capture} --level files /${wrong}`,
    });
  const { found, listings } = await withClient(async (client) => {
    const found = await client.captures.get(capture);
    const { id } = found;
    const asked = paths.length === 0 ? ["/"] : paths;
    const level = "files";
    const listings = await Promise.all(
      asked.map(async (path) => ({ path, ...(await client.captures.listFiles(id, path, { level })) })),
    );
    return { found, listings };
  });
  if (flags.json === true) {
    printJson(listings);
    return 0;
  }
  for (const { path, entry, entries } of listings) {
    if (listings.length > 1) writeOut(`${path}:\n`);
    const rows = (entry.type === "dir" ? entries : [entry])
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((one) => [formatMode(one), `${one.uid}:${one.gid}`, formatSize(one.size), one.name]);
    writeOut(formatTable(["MODE", "OWNER", "SIZE", "NAME"], rows));
  }
  const note = describeDiskAge(found);
  if (note !== null) writeErr(`${styleErr("yellow", "thaw:")} ${note}\n`);
  writeErr(`read-only, nothing was booted · copy out: thaw cp ${capture}:/path .\n`);
  return 0;
}
