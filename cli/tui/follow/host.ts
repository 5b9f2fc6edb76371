/** Follows one host of the dashboard: this one, whose daemon it starts, or one that is reached through ssh or TCP. */
import { defined } from "../../../api/defined.ts";
import { Follower, type RemoteHost, Thaw } from "../../../client/index.ts";
import type { Store } from "../state/store.ts";
import { isReadable } from "./readable.ts";

/** One that is reached through ssh is a process for each attempt. */
const MOST_PAUSE_FAR_MS = 60_000;

interface HostOptions {
  store: Store;
  context: string;
  remote: RemoteHost | undefined;
  signal: AbortSignal;
}

export class HostFollower extends Follower {
  readonly context: string;
  /** Answers requests. It starts no daemon: one that was stopped stays so. */
  readonly client: Thaw;

  constructor({ store, context, remote, signal }: HostOptions) {
    const client = new Thaw({ remote, autostart: false });
    super({
      ...{ client, isReadable, signal },
      set: (change) => store.setHost(context, change),
      hurry: () => store.hurry(),
      start: async () => {
        await using starter = new Thaw({ remote });
        await starter.host.info({ signal });
      },
      ...defined({ mostPauseMs: remote === undefined ? undefined : MOST_PAUSE_FAR_MS }),
    });
    this.context = context;
    this.client = client;
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}
