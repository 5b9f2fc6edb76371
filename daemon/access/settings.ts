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
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

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
  return {
    address,
    tls: tlsCert === undefined || tlsKey === undefined ? null : { cert: tlsCert, key: tlsKey },
    base: base === undefined ? null : new URL(base),
    hosts: new Set([
      ...(isLocal ? LOOPBACK_NAMES : []),
      ...(isAny ? [] : [bracketed]),
      ...(base === undefined ? [] : [new URL(base).hostname]),
      ...hosts.map((name) => name.toLowerCase()),
    ]),
  };
}
