/** Where the API is served over TCP, and under which names: of config.yaml and the command line. Pure. */
import type { Config } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";
import { parseListen } from "../preview/settings.ts";

export interface ApiListen {
  /** ADDRESS:PORT. */
  address: string;
  /** Files in PEM; null: plain HTTP. */
  tls: { cert: string; key: string } | null;
  /** What clients reach it by where a proxy stands in front; null: there is none. */
  base: URL | null;
  /** Names that a request's Host may have, without port. Any other is refused: a page of another site had its name lead here. */
  hosts: ReadonlySet<string>;
  page: PageSettings;
}

/** Where the page is, and a browser's session counts: nowhere else. */
export interface PageSettings {
  /** What a browser's address begins with where a proxy stands in front; null: there is none. */
  base: URL | null;
  scheme: "http" | "https";
  /** Names, without port; the first one is in links. Empty: the page has no address. */
  hosts: readonly string[];
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
/**
 * Browsers send a cookie to all ports of a host name, and what guests serve is at ports of the names above. To browsers, every name below localhost
 * is this machine.
 */
const PAGE_NAME = "thaw.localhost";

type Listen = NonNullable<Config["listen"]>;

/** The configuration's, with what the command line says instead; undefined: the API is served at its socket only. */
export function withFlags(config: Config["listen"], flags: Partial<Listen>): Listen | undefined {
  const { address, ...rest } = { ...config, ...flags };
  return address === undefined ? undefined : { address, ...rest };
}

/** Throws `usage` for an address that others can reach without encryption. */
export function apiListenOf({
  address,
  tlsCert,
  tlsKey,
  base,
  hosts = [],
  plain = false,
}: Listen): ApiListen {
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new EngineError(
      "usage",
      "TLS needs both a certificate and a key: listen.tlsCert and listen.tlsKey",
    );
  const { host } = parseListen(address);
  const isLocal = host === "localhost" || host === "::1" || host.startsWith("127.");
  if (!isLocal && tlsCert === undefined && !plain)
    throw new EngineError(
      "usage",
      `others can reach ${address}, and tokens would travel without encryption: set listen.tlsCert and listen.tlsKey, or listen.plain: true where a proxy in front encrypts`,
    );
  const bracketed = host.includes(":") ? `[${host}]` : host;
  const isAny = ["0.0.0.0", "[::]"].includes(bracketed);
  const shown = base === undefined ? null : new URL(base);
  const names = hosts.map((name) => name.toLowerCase());
  return {
    address,
    page: pageSettingsOf({ base: shown, isTls: tlsCert !== undefined, isLocal, isAny, bracketed, names }),
    tls: tlsCert === undefined || tlsKey === undefined ? null : { cert: tlsCert, key: tlsKey },
    base: shown,
    hosts: new Set([
      ...(isLocal ? [...LOOPBACK_NAMES, PAGE_NAME] : []),
      ...(isAny ? [] : [bracketed]),
      ...(shown === null ? [] : [shown.hostname]),
      ...names,
    ]),
  };
}

function pageSettingsOf({
  base,
  isTls,
  isLocal,
  isAny,
  bracketed,
  names,
}: {
  base: URL | null;
  isTls: boolean;
  isLocal: boolean;
  isAny: boolean;
  bracketed: string;
  names: readonly string[];
}): PageSettings {
  if (base !== null && !LOOPBACK_NAMES.includes(base.hostname))
    return { base, scheme: base.protocol === "https:" ? "https" : "http", hosts: [base.hostname] };
  if (!isTls) return { base: null, scheme: "http", hosts: isLocal ? [PAGE_NAME] : [] };
  const known = names.filter((name) => !LOOPBACK_NAMES.includes(name));
  const own = isLocal ? [PAGE_NAME] : isAny ? [] : [bracketed];
  return { base: null, scheme: "https", hosts: [...known, ...own] };
}

/** The page's origin under the name that a request is for; null: it is not the page's. */
export function pageOriginOf({ base, scheme, hosts }: PageSettings, host: string | undefined): string | null {
  const url = host === undefined ? null : URL.parse(`${scheme}://${host}`);
  if (url === null || !hosts.includes(url.hostname)) return null;
  return base?.origin ?? url.origin;
}

/** The page's address for links; null: it has none. @param port that the listener got */
export function pageUrlOf({ base, scheme, hosts: [host] }: PageSettings, port: number): URL | null {
  if (base !== null) return new URL("/", base);
  return host === undefined ? null : new URL(`${scheme}://${host}:${port}/`);
}
