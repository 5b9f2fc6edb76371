import type { RunRequest } from "../api/schema.ts";
import type { ExecConnection, ExecHandlers } from "./channels.ts";
import { checkCommand } from "./check-command.ts";
import { NodeTransport } from "./node-transport.ts";
import { findPaths } from "./paths.ts";
import type { ReachOptions } from "./reach.ts";
import { ThawClient } from "./thaw-client.ts";

/**
 * A host's thaw daemon. The daemon is started when there is none. Every method throws {@link ThawError}, or the signal's reason when
 * aborted.
 */
export class Thaw extends ThawClient<NodeTransport> {
  /** @param options where the daemon is. Default: from `THAW_HOME`, `THAW_SOCKET` and the XDG variables. */
  constructor(options: Partial<ReachOptions> = {}) {
    super(new NodeTransport({ ...findPaths(), ...options }));
  }

  /** Where this client connects. */
  get options(): Readonly<ReachOptions> {
    return this.transport.options;
  }

  /** Thaws a sandbox, runs a command in it and removes it when the connection ends, in whatever way. */
  async run(request: RunRequest, handlers: ExecHandlers = {}): Promise<ExecConnection> {
    checkCommand(request.exec);
    return this.transport.connect({ run: request }, handlers);
  }
}
