/** The API within the daemon, on behalf of somebody who asked over MCP: a client gets connections that have that caller's rights, and no more. */
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { type Duplex, duplexPair } from "node:stream";
import { EngineError } from "../../engine/errors.ts";
import { asSocket } from "../as-socket.ts";
import { apiErrorOf, refuseUpgrade } from "../errors.ts";
import { setAccess } from "./guard.ts";
import type { Access, Tokens } from "./tokens.ts";

export interface InnerApiOptions {
  tokens: Tokens;
  handle: RequestListener;
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** @returns what makes connections for a caller. Undefined: a user of the socket */
export function innerApi({
  tokens,
  handle,
  upgrade,
}: InnerApiOptions): (access: Access | undefined) => () => Duplex {
  return (access) => {
    const letIn = (request: IncomingMessage): void => {
      if (access === undefined) return;
      // It may have ended since.
      if (access.token === null || !tokens.isValid(access.token.id))
        throw new EngineError("not-authenticated", "the token or session has ended");
      setAccess(request, access);
    };
    const server = createServer({ requestTimeout: 0 }, (request, response) => {
      try {
        letIn(request);
      } catch (error) {
        const { status, error: body } = apiErrorOf(error);
        response.writeHead(status, { "content-type": "application/json", connection: "close" });
        response.end(JSON.stringify({ error: body }));
        return;
      }
      handle(request, response);
    });
    server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => {});
      try {
        letIn(request);
      } catch (error) {
        return refuseUpgrade(socket, error);
      }
      upgrade(request, socket, head);
    });
    return () => {
      const [near, far] = duplexPair();
      far.on("error", () => {});
      server.emit("connection", far);
      // A pair does not tell one end that the other was destroyed.
      near.once("close", () => far.destroy());
      far.once("close", () => near.destroy());
      return asSocket(near);
    };
  };
}
