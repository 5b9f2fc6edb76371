import { defined } from "../../api/defined.ts";
import { formatUntil } from "../../api/next.ts";
import { withClient } from "../connect.ts";
import { printJson, writeErr, writeOut } from "../output.ts";

export interface PreviewFlags {
  ttl?: number;
  public?: boolean;
  rm?: boolean;
  json?: boolean;
}

/** `thaw preview`: the address goes to stdout, alone. */
export async function preview(name: string, port: number, flags: PreviewFlags): Promise<void> {
  const { ttl, public: isPublic = false, rm = false, json = false } = flags;
  if (rm) return withClient((client) => client.sandboxes.at(name).previews.end(port));
  const request = { port, public: isPublic, ...defined({ ttlMs: ttl }) };
  const made = await withClient((client) => client.sandboxes.at(name).previews.create(request));
  if (json) return printJson(made);
  writeOut(`${made.url}\n`);
  const who = made.public ? "anyone who knows the address" : "anyone who has this link";
  writeErr(`open to ${who}, for ${formatUntil(made.expiresAt)}; thaw preview ${name} ${port} --rm ends it\n`);
}
