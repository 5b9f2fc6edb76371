import { type Thaw, ThawError } from "../../client/index.ts";
import { inTurn } from "../act-on-each.ts";
import { withClient } from "../connect.ts";
import { formatTemplate } from "../format/template.ts";
import { printJson, writeOut } from "../output.ts";

/** A sandbox, else a snapshot, else a capture of this name. */
async function find(client: Thaw, name: string): Promise<unknown> {
  const ways = [
    async () => (await client.sandboxes.get(name)).info,
    () => client.snapshots.get(name),
    () => client.captures.get(name),
  ];
  for (const way of ways)
    try {
      return await way();
    } catch (error) {
      if (!(error instanceof ThawError && error.code === "not-found")) throw error;
    }
  throw new ThawError("not-found", `there is no sandbox, snapshot or capture ${name}`, {
    hint: "thaw ls; thaw snapshot ls; thaw capture ls",
  });
}

/** `thaw inspect`: all that the API tells of each. What is missing does not hold up the others. @returns the first failure's code */
export async function inspect(names: readonly string[], { format }: { format?: string }): Promise<number> {
  const found: unknown[] = [];
  const code = await withClient((client) =>
    inTurn(
      names,
      async (name) => {
        const one = await find(client, name);
        if (format === undefined) found.push(one);
        else writeOut(`${formatTemplate(format, one)}\n`);
      },
      {},
    ),
  );
  if (format === undefined) printJson(found);
  return code;
}
