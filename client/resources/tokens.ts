import type { NewToken, Ticket, TicketRequest, Token, TokenRequest } from "../../api/schema.ts";
import type { ApiCalls, CallOptions } from "../api-calls.ts";

/** Who may use the listener of a host's daemon. */
export class Tokens {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  async list(options?: CallOptions): Promise<Token[]> {
    const { tokens } = await this.#api.with<{ tokens: Token[] }>("tokens", {
      ...{ method: "GET", path: "/v1/tokens" },
      ...options,
    });
    return tokens;
  }

  /** Its `secret` is told by this answer only. A request whose answer is lost is not repeated. @throws ThawError `conflict` when the name is taken */
  create(wanted: TokenRequest, options?: CallOptions): Promise<NewToken> {
    return this.#api.with<NewToken>("secret", {
      ...{ method: "POST", path: "/v1/tokens", json: wanted, repeatable: false },
      ...options,
    });
  }

  /** Makes a one-time link that opens the page in a browser. @throws ThawError `conflict` when the daemon serves no page */
  ticket(wanted: TicketRequest = {}, options?: CallOptions): Promise<Ticket> {
    return this.#api.with<Ticket>("url", {
      // Repeated, it makes one more, which nobody uses.
      ...{ method: "POST", path: "/v1/tickets", json: wanted },
      ...options,
    });
  }

  /** By name or id; what is open with it ends, and so do sessions that were made with it. @throws ThawError `not-found` */
  revoke(token: string, options?: CallOptions): Promise<Token> {
    return this.#api.with<Token>("id", {
      ...{ method: "DELETE", path: `/v1/tokens/${encodeURIComponent(token)}`, repeatable: false },
      ...options,
    });
  }
}
