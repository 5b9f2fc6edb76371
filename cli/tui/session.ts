/** The dashboard from its opening to its end: who follows the hosts, who has the terminal, and what each key leads to. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { signalExitCode } from "../../api/exit-code.ts";
import { findPaths, type Thaw, ThawError, troubleOf } from "../../client/index.ts";
import { writeErr } from "../output.ts";
import { Actor } from "./act.ts";
import { AgeClock } from "./clock.ts";
import type { HostFollower } from "./follow/host.ts";
import { PaneFollower } from "./follow/pane.ts";
import { followUsage } from "./follow/usage.ts";
import { press } from "./input.ts";
import type { Key } from "./keys.ts";
import { restorePreferences, savePreferences } from "./preferences.ts";
import { isReadAloud, Screen } from "./screen.tsx";
import { cursorIndex, listRows } from "./state/rows.ts";
import type { Store } from "./state/store.ts";
import { viewOf } from "./views/index.ts";

export interface SessionOptions {
  store: Store;
  /** They follow already. */
  followers: readonly HostFollower[];
  /** The context that commands work on when none is said. */
  current: string;
  /** Ends the followers. */
  abort: AbortController;
}

/** The first frame waits this long for the hosts' answers. */
const FIRST_FRAME_MS = 100;
const ENDING = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"] as const;

export class Session {
  readonly #store: Store;
  readonly #followers: ReadonlyMap<string, HostFollower>;
  readonly #abort: AbortController;
  readonly #screen: Screen;
  readonly #pane: PaneFollower;
  readonly #usage = new Map<string, AbortController>();
  readonly #end = Promise.withResolvers<number>();
  #crash: unknown;
  /** Resolves when who has the terminal has ended. */
  #handedOver: Promise<void> | undefined;
  readonly #clock: AgeClock | undefined;

  constructor({ store, followers, current, abort }: SessionOptions) {
    const { signal } = abort;
    this.#abort = abort;
    this.#store = store;
    store.update(restorePreferences);
    this.#followers = new Map(followers.map((follower) => [follower.context, follower]));
    const client = (context: string): Thaw => {
      const follower = this.#followers.get(context);
      if (follower === undefined) throw new ThawError("not-found", `there is no context ${context}`);
      return follower.client;
    };
    const handOver = async <T>(work: () => Promise<T>): Promise<T> => {
      const done = Promise.withResolvers<void>();
      this.#handedOver = done.promise;
      try {
        return await this.#screen.handOver(work);
      } finally {
        done.resolve();
        if (!signal.aborted) this.#followWhatIsShown();
      }
    };
    const actor = new Actor({ store, client, current, handOver, signal });
    const controls = {
      ...{ store, actor },
      quit: (code: number) => this.#end.resolve(code),
      suspend: () => this.#stop(),
      repaint: () => this.#screen.repaint(),
    };
    const hear = (key: Key): void => {
      try {
        press(key, controls);
      } catch (error) {
        store.set({ prompt: undefined, message: { text: troubleOf(error).message, tone: "bad" } });
      }
      store.hurry();
    };
    this.#screen = new Screen(store, { key: hear, crash: this.#fail });
    this.#pane = new PaneFollower(store, client);
    // what is read aloud does not change by itself
    this.#clock = isReadAloud ? undefined : new AgeClock(store);
  }

  /** @returns the exit code */
  async run(): Promise<number> {
    const hear = ENDING.map((name) => [name, () => this.#hear(name)] as const);
    for (const [name, listener] of hear) process.on(name, listener);
    process.on("SIGTSTP", this.#stop);
    process.on("SIGCONT", this.#goOn);
    process.on("uncaughtException", this.#fail);
    process.on("unhandledRejection", this.#fail);
    try {
      await Promise.race([this.#answered(), this.#end.promise]);
      this.#store.subscribe(this.#followWhatIsShown);
      this.#screen.open();
      return await this.#end.promise;
    } finally {
      this.#screen.end(this.#crash !== undefined);
      this.#store.close();
      this.#clock?.close();
      this.#abort.abort();
      await this.#handedOver;
      this.#pane.close();
      for (const abort of this.#usage.values()) abort.abort();
      const unsaved = savePreferences(this.#store.state);
      if (unsaved !== undefined) writeErr(`thaw: can't save the dashboard's preferences: ${unsaved}\n`);
      await Promise.all([...this.#followers.values()].map((follower) => follower.close()));
      for (const [name, listener] of hear) process.off(name, listener);
      process.off("SIGTSTP", this.#stop);
      process.off("SIGCONT", this.#goOn);
      process.off("uncaughtException", this.#fail);
      process.off("unhandledRejection", this.#fail);
      if (this.#crash !== undefined) reportCrash(this.#crash);
    }
  }

  /** Waits a moment for what there is to show: a frame without it is drawn for nobody, and takes as long as the one after it. */
  async #answered(): Promise<void> {
    const late = new AbortController();
    const all = Promise.all([...this.#followers.values()].map(({ answered }) => answered));
    await Promise.race([all, pause(FIRST_FRAME_MS, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
  }

  /** Follows what the window shows of the row with the cursor, and what sandboxes use while somebody looks at it. */
  readonly #followWhatIsShown = (): void => {
    const { state } = this.#store;
    const view = viewOf(state.view);
    const listing = listRows(view, state);
    const row = listing.rows[cursorIndex(listing, state.lists[state.view])];
    const isSeen = this.#screen.isOpen && state.pane.isOpen && state.overlay === undefined;
    this.#pane.show(isSeen ? view.panes[state.pane.index % view.panes.length] : undefined, row);
    for (const [context, { client }] of this.#followers) {
      const host = state.hosts.find((each) => each.context === context);
      const isWanted =
        this.#screen.isOpen &&
        !isReadAloud &&
        host?.status === "here" &&
        (state.view === "hosts" || (state.view === "sandboxes" && host.sandboxes.size > 0));
      const before = this.#usage.get(context);
      if (!isWanted) {
        before?.abort();
        this.#usage.delete(context);
      } else if (before === undefined) {
        const abort = new AbortController();
        this.#usage.set(context, abort);
        void followUsage({ store: this.#store, context, client }, abort.signal).then(() => {
          if (this.#usage.get(context) === abort) this.#usage.delete(context);
        });
      }
    }
    this.#clock?.plan();
  };

  /** A key that the terminal makes a signal of is for whoever has the terminal. */
  #hear(signal: (typeof ENDING)[number]): void {
    const isKey = signal === "SIGINT" || signal === "SIGQUIT";
    if (!isKey || this.#screen.isOpen) this.#end.resolve(signalExitCode(signal));
  }

  /** Ctrl-Z: the shell has the terminal until `fg`. */
  readonly #stop = (): void => {
    if (!this.#screen.isOpen) return;
    this.#screen.close();
    process.off("SIGTSTP", this.#stop);
    // all of the terminal's foreground, as the key does it elsewhere; a group that nobody would continue is not stopped by it
    process.kill(0, "SIGTSTP");
    setTimeout(() => {
      process.on("SIGTSTP", this.#stop);
      this.#screen.open();
    }, 10);
  };

  /** Somebody stopped us without asking, and the terminal was another's meanwhile. */
  readonly #goOn = (): void => {
    this.#screen.repaint();
  };

  readonly #fail = (error: unknown): void => {
    this.#crash ??= error;
    this.#end.resolve(125);
  };
}

function reportCrash(error: unknown): void {
  const path = join(findPaths().home, "dashboard.log");
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  let details = `see ${path}`;
  try {
    writeFileSync(path, `${new Date().toISOString()} ${text}\n`, { mode: 0o600, flag: "a" });
  } catch {
    details = text;
  }
  writeErr(
    `thaw: the dashboard failed: ${error instanceof Error ? error.message : String(error)}\nhint: ${details}\n`,
  );
}
