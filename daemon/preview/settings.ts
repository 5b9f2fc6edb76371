/** Where previews are served and how their links look: of the configuration, or what works on any host. Pure. */
import { isIP } from "node:net";
import type { Config } from "../../engine/config.ts";
import { EngineError } from "../../engine/errors.ts";

export interface Settings {
  /** Addresses to listen on. */
  addresses: readonly string[];
  /** 0: any that is free, the same at the next start. */
  port: number;
  /** `<port>-<sandbox>.<domain>` is a preview; null: none is served so. */
  domain: string | null;
  /** Origin that browsers see, of a proxy in front of this one; null: there is none. */
  base: URL | null;
  /** Names, beside addresses of this listener, under which paths of the form `/<sandbox>/<port>/` are served. */
  hosts: ReadonlySet<string>;
  /**
   * Whether previews are served by path. All of them share one origin then, and what keeps them apart is what a browser says of where a request
   * comes from (Sec-Fetch-Site), which it does over TLS and on its own machine only.
   */
  paths: boolean;
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const DEFAULT_LISTEN = "localhost:0";

/** @param listen of the command line: goes before the configuration */
export function settingsOf(preview: Config["preview"], listen: string | undefined): Settings {
  const { host, port } = parseListen(listen ?? preview.listen ?? DEFAULT_LISTEN);
  const base = preview.base === undefined ? null : new URL(preview.base);
  const isLocal = host === "localhost" || host === "::1" || host.startsWith("127.");
  const domain = preview.domain ?? (isLocal && base === null ? "localhost" : null);
  const shown = base === null ? [] : [base.hostname];
  const isBaseLocal = base !== null && LOOPBACK_NAMES.includes(base.hostname);
  return {
    addresses: host === "localhost" ? ["127.0.0.1", "::1"] : [host],
    ...{ port, domain, base },
    hosts: new Set([...(isLocal ? LOOPBACK_NAMES : []), ...shown, ...preview.hosts]),
    paths: base === null ? isLocal : base.protocol === "https:" || isBaseLocal,
  };
}

/** `ADDRESS:PORT`, `[ADDRESS]:PORT` or `localhost:PORT`. Throws `usage`. */
export function parseListen(text: string): { host: string; port: number } {
  const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2] ?? "";
  const port = Number(parts?.[3] ?? -1);
  if ((isIP(host) === 0 && host !== "localhost") || port < 0 || port > 65_535)
    throw new EngineError("usage", `${text} is not ADDRESS:PORT, such as 127.0.0.1:7380`);
  return { host, port };
}

/** The address of a preview. @param port that the listener got */
export function addressOf(settings: Settings, at: { sandbox: string; port: number }, port: number): URL {
  const { base, domain, paths } = settings;
  const url = new URL(base ?? `http://127.0.0.1:${port}/`);
  if (domain !== null) url.hostname = `${at.port}-${at.sandbox}.${domain}`;
  else if (paths) url.pathname = `/${at.sandbox}/${at.port}/`;
  else
    throw new EngineError("conflict", "previews are set up for this machine only", {
      hint: "set in config.yaml: preview.domain, with a wildcard DNS record; or preview.base, the https address of a reverse proxy",
    });
  return url;
}
