/**
 * Whether a request that carries a preview's cookie comes from that preview's own pages, or from a person who follows a link. The cookie alone
 * says neither: previews of one domain are one site to a browser, and those that are served by path one origin. Pure.
 */
import type { IncomingHttpHeaders } from "node:http";

/** @param prefix `/`, or `/<sandbox>/<port>/` */
export function isOwnRequest(method: string, headers: IncomingHttpHeaders, prefix: string): boolean {
  const { host = "", origin, referer } = headers;
  const site = headers["sec-fetch-site"];
  const isForeign =
    (origin !== undefined && hostOf(origin) !== host.toLowerCase()) ||
    (site !== undefined && site !== "same-origin" && site !== "none");
  if (isForeign) return isTopNavigation(method, headers);
  if (prefix === "/" || site === "none") return true;
  if (referer !== undefined) {
    // Of another site: a link that was followed.
    if (hostOf(referer) !== host.toLowerCase()) return site === undefined;
    return URL.canParse(referer) && new URL(referer).pathname.startsWith(prefix);
  }
  // A page of another preview can leave its address out. Clients that are no browser say neither.
  return site === undefined && origin === undefined;
}

/** A person followed a link: what comes is a page of its own that the one before can't read. */
function isTopNavigation(method: string, headers: IncomingHttpHeaders): boolean {
  return (
    (method === "GET" || method === "HEAD") &&
    headers["sec-fetch-mode"] === "navigate" &&
    headers["sec-fetch-dest"] === "document"
  );
}

function hostOf(address: string): string | null {
  return URL.canParse(address) ? new URL(address).host : null;
}
