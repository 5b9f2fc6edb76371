import type { Duplex } from "node:stream";

/** Gives a stream what Node's HTTP client asks of a socket: it has none of these settings. */
export function asSocket(connection: Duplex): Duplex {
  const same = (): Duplex => connection;
  return Object.assign(connection, {
    ...{ setTimeout: same, setNoDelay: same, setKeepAlive: same, ref: same, unref: same },
  });
}
