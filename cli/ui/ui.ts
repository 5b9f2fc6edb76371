import { hostname, userInfo } from "node:os";
import { defined } from "../../api/defined.ts";
import { chooseContext, formatSsh, type RemoteHost, type Rights } from "../../client/index.ts";
import { openInBrowser } from "../browser.ts";
import { withClient } from "../connect.ts";
import { printJson, writeErr, writeOut } from "../output.ts";

export interface UiFlags {
  rights: Rights;
  ttl?: number;
  open: boolean;
  json?: boolean;
}

const LOOPBACK = /(^|\.)localhost$/;

/** `thaw ui`: stdout has the link alone. */
export async function ui({ rights, ttl, open, json = false }: UiFlags): Promise<void> {
  const context = chooseContext();
  // A listener that let us in is there already, and only a user of the host's may begin one.
  const listen = context.remote?.by !== "http" && context.remote?.by !== "https";
  const wanted = { rights, listen, ...defined({ sessionTtlMs: ttl }) };
  const made = await withClient((client) => client.tokens.ticket(wanted), { context });
  if (json) return printJson(made);
  writeOut(`${made.url}\n`);
  const url = new URL(made.url);
  const isElsewhere = context.remote?.by === "ssh" && LOOPBACK.test(url.hostname);
  const isOpened = open && !isElsewhere && openInBrowser(made.url);
  writeErr(`${isOpened ? "opened in your browser; the" : "the"} link works once, within a minute\n`);
  if (!isOpened && LOOPBACK.test(url.hostname) && (isElsewhere || process.env.SSH_CONNECTION !== undefined))
    writeErr(
      `hint: where your browser is, first type: ${tunnelTo(context.remote)} -N -L ${url.port}:127.0.0.1:${url.port}\n`,
    );
}

function tunnelTo(remote: RemoteHost | undefined): string {
  return remote?.by === "ssh" ? formatSsh(remote) : `ssh ${userInfo().username}@${hostname()}`;
}
