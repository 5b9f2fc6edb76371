/** Which port of which sandbox a request is for: `<port>-<sandbox>.<domain>`, or `/<sandbox>/<port>/…` at an address of the listener itself. Pure. */
import type { Settings } from "./settings.ts";

export interface Place {
  /** Its name or id, as given. */
  sandbox: string;
  port: number;
  /** What the page's addresses begin with: `/`, or `/<sandbox>/<port>/`. */
  prefix: string;
  /** Path and query for the guest. */
  path: string;
}

/** `elsewhere`: the host is none of ours; `nowhere`: nothing is served there. */
export type Placed = Place | "elsewhere" | "nowhere";

const LABEL = /^(\d{1,5})-([a-z0-9][a-z0-9-]*)$/;
const PATH = /^\/([a-z0-9][a-z0-9-]*)\/(\d{1,5})(\/.*)?$/s;

export function placeOf(settings: Settings, { host, url }: { host: string; url: string }): Placed {
  const name = host.toLowerCase().replace(/:\d{1,5}$/, "");
  const { domain, hosts } = settings;
  // A request to a proxy names the whole address; this is none.
  if (!url.startsWith("/")) return "nowhere";
  if (domain !== null && name.endsWith(`.${domain}`)) {
    const label = LABEL.exec(name.slice(0, -domain.length - 1));
    if (!label) return "nowhere";
    return { sandbox: label[2] ?? "", port: Number(label[1]), prefix: "/", path: url };
  }
  if (!hosts.has(name)) return "elsewhere";
  const [path = "", query] = splitQuery(url);
  const parts = settings.paths ? PATH.exec(path) : null;
  if (!parts) return "nowhere";
  const [, sandbox = "", port = "", rest = ""] = parts;
  return { sandbox, port: Number(port), prefix: `/${sandbox}/${port}/`, path: `${rest}${query}` };
}

/** The path, and the query with its `?`. */
export function splitQuery(url: string): [string, string] {
  const at = url.indexOf("?");
  return at === -1 ? [url, ""] : [url.slice(0, at), url.slice(at)];
}

/** Takes a parameter out of a query; the others stay as they were written. @returns the rest, and its value or null */
export function takeParameter(url: string, name: string): { url: string; value: string | null } {
  const [path, query] = splitQuery(url);
  const parts = query.slice(1).split("&");
  const found = parts.find((part) => part.startsWith(`${name}=`));
  const left = parts.filter((part) => part !== "" && !part.startsWith(`${name}=`)).join("&");
  return { url: left === "" ? path : `${path}?${left}`, value: found?.slice(name.length + 1) ?? null };
}
