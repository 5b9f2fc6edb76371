import type { Thaw } from "../client/index.ts";
import { withClient } from "./connect.ts";
import { reportFailure } from "./failure.ts";
import { printJson, writeOut } from "./output.ts";

/** Does something to each name in turn; one that fails is reported and does not hold up the others. @returns the first failure's code. */
export async function actOnEach(
  names: readonly string[],
  act: (client: Thaw, name: string) => Promise<unknown>,
  flags: { json?: boolean },
): Promise<number> {
  let code = 0;
  const results: unknown[] = [];
  await withClient(async (client) => {
    for (const name of names) {
      try {
        results.push((await act(client, name)) ?? { name });
        if (flags.json !== true) writeOut(`${name}\n`);
      } catch (error) {
        const failed = reportFailure(error, flags.json === true ? ["--json"] : []);
        code = code === 0 ? failed : code;
      }
    }
  });
  if (flags.json === true) printJson(results);
  return code;
}
