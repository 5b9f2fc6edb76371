/**
 * The cookie of a browser's session. Browsers send a cookie to every port of a host name: the port is in the cookie's name, so that the pages of
 * several hosts, for example through tunnels, have each their own. Pure.
 */
const NAME = "thaw-session";
const PATTERN = /^(__host-)?thaw-session(-|$)/i;
/** A page at another port may have added some. */
const MAX_TRIED = 16;

export interface CookiePair {
  name: string;
  value: string;
  text: string;
}

/** What a Cookie header has. */
export function cookiePairs(header: string | undefined): CookiePair[] {
  return (header ?? "")
    .split(";")
    .map((text) => text.trim())
    .filter((text) => text !== "")
    .map((text) => {
      const at = text.indexOf("=");
      return { text, name: text.slice(0, Math.max(at, 0)).trim(), value: text.slice(at + 1).trim() };
    });
}

/** Whether a cookie is, or looks like, one of a session: no guest gets or sets it. */
export function isSessionCookie(name: string): boolean {
  return PATTERN.test(name);
}

/** @param origin the page's: `http://thaw.localhost:7878` */
function nameAt(origin: string): string {
  const { protocol, port } = new URL(origin);
  const isSecure = protocol === "https:";
  return `${isSecure ? "__Host-" : ""}${NAME}-${port || (isSecure ? 443 : 80)}`;
}

/** Secrets of sessions in a request for the page's origin. */
export function sessionsIn(header: string | undefined, origin: string): string[] {
  const name = nameAt(origin);
  return cookiePairs(header)
    .filter((pair) => pair.name === name)
    .map(({ value }) => value)
    .slice(0, MAX_TRIED);
}

/** @param maxAgeMs 0: the browser forgets it */
export function sessionCookie(secret: string, origin: string, maxAgeMs: number): string {
  const secure = origin.startsWith("https:") ? "; Secure" : "";
  return `${nameAt(origin)}=${secret}; Path=/; Max-Age=${Math.ceil(maxAgeMs / 1000)}; HttpOnly; SameSite=Strict${secure}`;
}
