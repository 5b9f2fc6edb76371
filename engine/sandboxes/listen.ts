/** Listening on the same port of several addresses. */
import type { AddressInfo, Server } from "node:net";

/** Tries to find one port that is free on all addresses. */
const TRIES = 8;

/**
 * @param create makes a server that does not listen yet
 * @param addresses the first must be one of this host; others that it lacks are left out
 * @param port 0: any that is free
 * @returns the servers, which listen, at least one. Rejects with an error of `listen`; nothing listens then.
 */
export async function listenOn<S extends Server>(
  create: () => S,
  addresses: readonly string[],
  port: number,
): Promise<S[]> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await listenOnce(create, addresses, port);
    } catch (error) {
      // The port that was free on the first address is taken on the second.
      const { code } = error as NodeJS.ErrnoException;
      if (port !== 0 || code !== "EADDRINUSE" || tries >= TRIES) throw error;
    }
  }
}

/** Of a server that listens on an address of the internet. */
export function portOf(server: Server | undefined): number | undefined {
  return (server?.address() as AddressInfo | null | undefined)?.port;
}

async function listenOnce<S extends Server>(
  create: () => S,
  addresses: readonly string[],
  port: number,
): Promise<S[]> {
  const servers: S[] = [];
  try {
    for (const address of addresses) {
      const server = create();
      try {
        await listening(server, address, portOf(servers[0]) ?? port);
        servers.push(server);
      } catch (error) {
        // A host without IPv6.
        const { code = "" } = error as NodeJS.ErrnoException;
        if (servers.length === 0 || !["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(code)) throw error;
      }
    }
    return servers;
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: true }, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
}
