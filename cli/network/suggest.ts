import { suggestedRules, type Thaw, ThawError } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";

interface Seen {
  destination: string;
  port: number;
}

/** Of a sandbox, or else of a capture. */
async function seenBy(client: Thaw, reference: string): Promise<Seen[]> {
  try {
    return (await client.sandboxes.at(reference).network.state()).destinations;
  } catch (error) {
    if (!(error instanceof ThawError) || error.code !== "not-found") throw error;
    const { egress } = await client.captures.get(reference).catch(() => Promise.reject(error));
    return egress.map(({ destination }) => {
      const at = destination.lastIndexOf(":");
      return { destination: destination.slice(0, at), port: Number(destination.slice(at + 1)) };
    });
  }
}

/** `thaw network suggest`. */
export async function suggest(reference: string, flags: { json?: boolean }): Promise<void> {
  const rules = suggestedRules(await withClient((client) => seenBy(client, reference)));
  if (flags.json === true) printJson(rules);
  else if (rules.length === 0) writeOut("it tried to reach nothing\n");
  else writeOut(rules.map((rule) => `--allow ${rule}\n`).join(""));
}
