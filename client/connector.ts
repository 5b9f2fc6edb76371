import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { checkSocket } from "./paths.ts";
import type { ReachOptions } from "./reach.ts";

/** Finds how a connection to the daemon is made: to its socket here, or through ssh. @throws ThawError `host-not-ready`. */
export async function findConnector({ socket, remote }: ReachOptions): Promise<() => Duplex> {
  if (remote === undefined) {
    checkSocket(socket);
    return () => connect(socket);
  }
  const { SshStream } = await import("./ssh/stream.ts");
  return () => new SshStream(remote);
}
