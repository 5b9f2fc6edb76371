/** What the pane beneath the list shows of the row with the cursor, as it comes. */
import { setTimeout as pause } from "node:timers/promises";
import { type Thaw, troubleOf } from "../../../client/index.ts";
import type { Line } from "../draw/text.ts";
import { KEPT_LINES } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import type { Pane, Row } from "../views/view.ts";

/** The cursor has to rest on a row this long: who scrolls opens no connection for each row on the way. */
const SETTLE_MS = 80;
/** Lines are put together for this long: to add one costs as much as to add a thousand. */
const BATCH_MS = 16;
/** After what was followed has failed, such as a guest that did not answer: it is asked again for as long as it is shown. */
const RETRY_MS = 3000;

export class PaneFollower {
  readonly #store: Store;
  readonly #client: (context: string) => Thaw;
  #followed: string | undefined;
  #abort = new AbortController();

  constructor(store: Store, client: (context: string) => Thaw) {
    this.#store = store;
    this.#client = client;
  }

  /** Shows this pane of this row from now on; what is shown already goes on. */
  show(pane: Pane<Row> | undefined, row: Row | undefined): void {
    // a host that is back is asked anew
    const isOffline = this.#isOffline(row);
    const key =
      pane === undefined || row === undefined
        ? undefined
        : `${pane.title} ${row.key} ${isOffline} ${pane.version?.(row) ?? ""}`;
    if (key === this.#followed) return;
    this.#followed = key;
    this.#abort.abort();
    this.#abort = new AbortController();
    const { of } = this.#store.state.pane;
    const shown = row === undefined ? undefined : `${pane?.title} ${row.key}`;
    this.#store.setPane({ of: shown, trouble: undefined, ...(of === shown ? {} : { lines: [], back: 0 }) });
    if (pane?.follow !== undefined && row !== undefined && !isOffline)
      void this.#follow(pane, row, this.#abort.signal);
  }

  #isOffline(row: Row | undefined): boolean {
    return this.#store.state.hosts.some(
      ({ context, status }) => context === row?.context && status === "offline",
    );
  }

  close(): void {
    this.#abort.abort();
  }

  async #follow(pane: Pane<Row>, row: Row, signal: AbortSignal): Promise<void> {
    const wait = (ms: number): Promise<void> => pause(ms, undefined, { signal });
    try {
      await wait(SETTLE_MS);
      while (!(await this.#followOnce(pane, row, signal))) await wait(RETRY_MS);
    } catch {
      // it is shown no more
    }
  }

  /** @returns whether it came to its end */
  async #followOnce(pane: Pane<Row>, row: Row, signal: AbortSignal): Promise<boolean> {
    let isAnew = true;
    let lines: Line[] = [];
    let timer: NodeJS.Timeout | undefined;
    const tell = (): void => {
      clearTimeout(timer);
      timer = undefined;
      if (!signal.aborted) this.#add(lines, isAnew);
      lines = [];
      isAnew = false;
    };
    try {
      for await (const part of pane.follow?.(this.#client(row.context), row, signal) ?? []) {
        if (signal.aborted) break;
        isAnew ||= part.anew === true;
        lines = [...(part.anew === true ? [] : lines), ...part.lines].slice(-KEPT_LINES);
        timer ??= setTimeout(tell, BATCH_MS);
      }
      tell();
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      if (timer !== undefined) tell();
      this.#store.setPane({ trouble: troubleOf(error) });
      return false;
    }
  }

  #add(lines: readonly Line[], anew: boolean): void {
    const { pane } = this.#store.state;
    // who has scrolled back stays where they are
    const back = pane.back === 0 || anew ? pane.back : pane.back + lines.length;
    const kept = anew ? lines : [...pane.lines, ...lines];
    this.#store.setPane({ lines: kept.slice(-KEPT_LINES), back, trouble: undefined });
  }
}
