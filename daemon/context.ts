/** What every route needs. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Engine } from "../engine/engine.ts";
import type { Probe } from "../runners/runner.ts";
import type { PageAddress } from "./access/page-address.ts";
import type { Access, Tokens } from "./access/tokens.ts";
import type { Previews } from "./preview/previews.ts";
import type { Requests } from "./requests.ts";

export interface Version {
  version: string;
  /** Digest of the bundle. */
  digest: string;
  /** When it was built, ms since the epoch. */
  built: number;
}

export interface DaemonContext {
  engine: Engine;
  requests: Requests;
  previews: Previews;
  tokens: Tokens;
  page: PageAddress;
  /** Connections to the API within the daemon, with the rights of whoever is let in. */
  connectAs: (access: Access | undefined) => () => Duplex;
  /** Of what the daemon opens beside its socket, for `thaw doctor`. */
  ownProbes: () => Promise<Probe[]>;
  version: Version;
  startedAt: string;
  /** What starts it again where systemd runs it: its clients can't. */
  restartCommand: string | undefined;
  /** Whose members the socket lets in; null: its owner only. */
  group: string | null;
  /** Ends the daemon; machines go on. */
  shutDown: () => void;
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;
