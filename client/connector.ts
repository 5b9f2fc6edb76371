import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { ListeningHost } from "./contexts/remote.ts";
import { ThawError } from "./errors.ts";
import { checkSocket } from "./paths.ts";
import { mayReplace, type ReachOptions } from "./reach.ts";
import { versionHeaders } from "./version-headers.ts";

/** Finds how a connection to the daemon is made: to its socket here, through ssh, or to its listener. @throws ThawError `host-not-ready`. */
export async function findConnector({ socket, remote, connect: own }: ReachOptions): Promise<() => Duplex> {
  if (own !== undefined) return own;
  if (remote === undefined) {
    checkSocket(socket);
    return () => connect(socket);
  }
  if (remote.by === "ssh") {
    const { SshStream } = await import("./ssh/stream.ts");
    return () => new SshStream(remote);
  }
  const { host, port } = remote;
  if (remote.by === "http") return () => connect({ host, port });
  const tls = await import("node:tls");
  const ca = remote.caFile === undefined ? {} : { ca: readOwn(remote.caFile, remote) };
  // A name that is sent to the server is not an address.
  const servername = /^[\d.]+$|:/.test(host) ? "" : host;
  return () => tls.connect({ host, port, servername, ALPNProtocols: ["http/1.1"], ...ca });
}

/** Headers of each request: who asks, and where it goes. @throws ThawError `host-not-ready` when the token can't be read. */
export function requestHeaders(reach: ReachOptions, { anyVersion = false } = {}): Record<string, string> {
  const { remote } = reach;
  const version = anyVersion ? {} : versionHeaders({ build: mayReplace(reach) });
  if (remote === undefined || remote.by === "ssh") return version;
  const token = readOwn(remote.tokenFile, remote).trim();
  // Anything else would be another header.
  if (!/^[\w.~+/=-]{1,200}$/.test(token))
    throw new ThawError("host-not-ready", `${remote.tokenFile} does not hold a token`, {
      hint: hintOf(remote),
    });
  return { ...version, host: URL.parse(remote.url)?.host ?? remote.host, authorization: `Bearer ${token}` };
}

function readOwn(path: string, remote: ListeningHost): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ThawError("host-not-ready", `can't read ${path}: ${(error as Error).message}`, {
      hint: hintOf(remote),
      cause: error,
    });
  }
}

const hintOf = ({ name, url }: ListeningHost): string =>
  `thaw context add ${name} ${url} --token-file FILE --force`;
