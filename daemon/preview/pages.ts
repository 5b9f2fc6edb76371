/** Pages of thaw's own at a preview's address. Nothing on them can be reached by a page of a guest, which may have the same origin. */
import type { ServerResponse } from "node:http";

const REFRESH_SECONDS = 1;
/** No origin, no scripts. Only a page that may have scripts may load itself again. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

export interface Page {
  status: number;
  title: string;
  text: string;
  refresh?: boolean;
}

export function sendPage(response: ServerResponse, { status, title, text, refresh = false }: Page): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": refresh ? `${POLICY} allow-scripts` : POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    // The rest of the request may never come.
    connection: "close",
    ...(refresh ? { refresh: String(REFRESH_SECONDS), "retry-after": String(REFRESH_SECONDS) } : {}),
  });
  response.end(
    `<!doctype html><meta charset="utf-8"><title>${escaped(title)}</title><style>body{font:16px system-ui;margin:15vh auto;max-width:40em;padding:0 1em}</style><h1>${escaped(title)}</h1><p>${escaped(text)}</p>\n`,
  );
}

/** The same for a sandbox that does not exist and for one that the request may not see. */
export const FORBIDDEN: Page = {
  status: 403,
  title: "no access",
  text: "This link has expired, or it belongs to another preview. To create a new link: thaw preview SANDBOX PORT",
};

export const MISDIRECTED: Page = {
  status: 421,
  title: "not served here",
  text: "Previews are not served under this host name (preview.domain and preview.hosts in config.yaml).",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
