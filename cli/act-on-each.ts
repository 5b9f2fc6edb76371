import type { Thaw } from "../client/index.ts";
import { withClient } from "./connect.ts";
import { reportFailure } from "./failure.ts";
import { printJson, writeOut } from "./output.ts";

/** Does `work` with each name in turn; one that fails is reported and does not hold up the others. @returns the first failure's code. */
export async function inTurn(
  names: readonly string[],
  work: (name: string) => Promise<void>,
  flags: { json?: boolean },
): Promise<number> {
  let code = 0;
  for (const name of names) {
    try {
      await work(name);
    } catch (error) {
      const failed = reportFailure(error, flags.json === true ? ["--json"] : []);
      code = code === 0 ? failed : code;
    }
  }
  return code;
}

/** Does something to each name, as `inTurn`, and prints the names, or the results as JSON. */
export async function actOnEach(
  names: readonly string[],
  act: (client: Thaw, name: string) => Promise<unknown>,
  flags: { json?: boolean },
): Promise<number> {
  const results: unknown[] = [];
  const code = await withClient((client) =>
    inTurn(
      names,
      async (name) => {
        results.push((await act(client, name)) ?? { name });
        if (flags.json !== true) writeOut(`${name}\n`);
      },
      flags,
    ),
  );
  if (flags.json === true) printJson(results);
  return code;
}
