/**
 * Cookies at a preview: thaw's own never reach a guest, and a guest's never another guest. Previews by host name have an origin each, so it is
 * enough that no cookie is for a whole domain. Previews by path share one: there each guest's cookies carry a tag in their name, and those with
 * another's tag, or with none, are not passed on. Pure.
 */

import { cookiePairs, isSessionCookie } from "../access/session-cookie.ts";

const OWN = "thaw-preview";
const OWN_SECURE = `__Host-${OWN}`;
const MAX_TRIED = 16;

export interface Jar {
  /** `/`, or `/<sandbox>/<port>/`. */
  prefix: string;
  /** Of this port of this sandbox. */
  tag: string;
  isSecure: boolean;
}

const isTicket = (name: string): boolean => name === OWN || name === OWN_SECURE;
const isOwn = (name: string): boolean => isTicket(name) || isSessionCookie(name);
const isShared = ({ prefix }: Jar): boolean => prefix !== "/";

/** Tickets in thaw's cookies. A page of another guest may have added some. */
export function ticketsIn(header: string | undefined): string[] {
  return cookiePairs(header)
    .filter(({ name }) => isTicket(name))
    .map(({ value }) => value)
    .slice(0, MAX_TRIED);
}

export function ticketCookie(ticket: string, { prefix, isSecure }: Jar, maxAgeMs: number): string {
  const name = isSecure && prefix === "/" ? OWN_SECURE : OWN;
  const secure = isSecure ? "; Secure" : "";
  return `${name}=${ticket}; Path=${prefix}; Max-Age=${Math.max(1, Math.ceil(maxAgeMs / 1000))}; HttpOnly; SameSite=Lax${secure}`;
}

/** What a guest gets of a request's cookies; undefined: none. */
export function cookiesForGuest(header: string | undefined, jar: Jar): string | undefined {
  const mark = `${jar.tag}.`;
  const kept = cookiePairs(header).filter(({ name }) => !isOwn(name));
  const texts = isShared(jar)
    ? kept.filter(({ name }) => name.startsWith(mark)).map(({ text }) => text.slice(mark.length))
    : kept.map(({ text }) => text);
  return texts.length === 0 ? undefined : texts.join("; ");
}

/** What a browser gets of the cookies that a guest sets. */
export function cookiesForBrowser(headers: readonly string[], jar: Jar): string[] {
  return headers.flatMap((header) => {
    const [first, ...attributes] = header.split(";").map((part) => part.trim());
    const [pair] = cookiePairs(first);
    // A cookie without a name comes back as its value alone, which may look like another's name and value.
    if (!pair || isOwn(pair.name || (pair.value.split("=")[0] ?? "").trim())) return [];
    const kept = attributes.filter((attribute) => !/^(domain|path)\s*(=|$)/i.test(attribute));
    const path = attributes.map((attribute) => /^path\s*=\s*(\/.*)$/i.exec(attribute)?.[1]).findLast(Boolean);
    if (!isShared(jar)) return [[pair.text, ...kept, ...(path ? [`Path=${path}`] : [])].join("; ")];
    const inside = `Path=${jar.prefix}${(path ?? "/").slice(1)}`;
    return [[`${jar.tag}.${pair.text}`, ...kept, inside].join("; ")];
  });
}
