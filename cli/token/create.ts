import { defined } from "../../api/defined.ts";
import { parseDuration } from "../../api/duration.ts";
import type { Rights } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeErr, writeOut } from "../output.ts";

export interface CreateFlags {
  name: string;
  rights: Rights;
  ttl?: string;
  json?: boolean;
}

/** `thaw token create`: stdout has the token alone. */
export async function create({ name, rights, ttl, json = false }: CreateFlags): Promise<void> {
  const ttlMs = ttl === undefined ? undefined : parseDuration(ttl);
  const made = await withClient((client) => client.tokens.create({ name, rights, ...defined({ ttlMs }) }));
  if (json) return printJson({ ...made.token, secret: made.secret });
  writeOut(`${made.secret}\n`);
  if (process.stdout.isTTY)
    writeErr(
      "thaw: the token is not shown again\nhint: on the other machine: thaw context add NAME URL --token-file FILE\n",
    );
}
