/**
 * Something about this host that is found out by running a machine, and remembered in `host.json` for the versions that it was found out with.
 * A success holds for good. A failure holds for a while, a minute at first and an hour at most: then it is tried again. A try that the host
 * had no time or room for says nothing about the host: it is not remembered, and is tried again after some seconds.
 */
import { z } from "zod";
import { RunnerError } from "../runner.ts";
import { recall, remember } from "./host-json.ts";

const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 3_600_000;
/** After a try that was inconclusive. */
const PAUSE_MS = 10_000;
const TRANSIENT = ["timeout", "no-space", "no-memory"];

/** Versions before this one kept neither times nor a count: what failed then is tried again. */
const entry = z.object({
  state: z.enum(["works", "broken"]),
  at: z.string().nullable().default(null),
  reason: z.string().default(""),
  failures: z.int().default(1),
  /** Not tried before. */
  retryAt: z.string().nullable().default(null),
});
type Entry = z.infer<typeof entry>;

export type Verdict<T> =
  /** `at`: when it was proven; null when that was not recorded. */
  | ({ state: "works"; at: string | null } & T)
  /** `broken`: it failed, and is not tried for now. `unproven`: the next use tries it. */
  | { state: "broken" | "unproven"; reason: string };

export interface ProofOptions<T> {
  home: string;
  section: string;
  /** Reason while nothing is known. */
  untried: string;
  /** Versions and settings that a result holds for. */
  key(): Promise<string>;
  /** What is remembered of a success, checked. */
  parse(value: unknown): T | undefined;
}

export class Proof<T extends object> {
  readonly #options: ProofOptions<T>;
  /** A try under way. Settles when it is over; never rejects. */
  #running: Promise<void> | undefined;
  #known: { key: string; verdict: Verdict<T> & { state: "works" } } | undefined;
  #inconclusive: { reason: string; until: number } | undefined;

  constructor(options: ProofOptions<T>) {
    this.#options = options;
  }

  /** What is known now. Nothing is tried. */
  async recall(): Promise<Verdict<T>> {
    const { untried } = this.#options;
    const key = await this.#options.key();
    if (this.#known?.key === key) return this.#known.verdict;
    const found = this.#read(key);
    if (found?.state === "works") {
      const value = this.#value(key);
      if (value === undefined) return { state: "unproven", reason: untried };
      this.#known = { key, verdict: { ...value, state: "works", at: found.at } };
      return this.#known.verdict;
    }
    if (this.#inconclusive && this.#inconclusive.until > Date.now()) return this.#pausing(this.#inconclusive);
    if (found === undefined) return { state: "unproven", reason: this.#inconclusive?.reason ?? untried };
    return describeFailure(found);
  }

  /**
   * What is known; when nothing is, `run` finds it out. At most one is under way: other callers wait for its result. When its caller aborts
   * it, the next one that waits tries. Rejects only for `signal`.
   */
  async prove(run: () => Promise<T>, signal?: AbortSignal): Promise<Verdict<T>> {
    for (;;) {
      signal?.throwIfAborted();
      const known = await this.recall();
      if (known.state !== "unproven") return known;
      if (this.#running !== undefined) {
        await unlessAborted(this.#running, signal);
        continue;
      }
      const trial = this.#try(run, signal);
      this.#running = trial.then(
        () => {},
        () => {},
      );
      try {
        return await trial;
      } finally {
        this.#running = undefined;
      }
    }
  }

  async #try(run: () => Promise<T>, signal?: AbortSignal): Promise<Verdict<T>> {
    const { home, section } = this.#options;
    const key = await this.#options.key();
    const at = new Date().toISOString();
    try {
      const value = await run();
      this.#inconclusive = undefined;
      await remember(home, section, key, { ...value, state: "works", at });
      return { ...value, state: "works", at };
    } catch (error) {
      signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      if (isTransient(error)) {
        this.#inconclusive = { reason, until: Date.now() + PAUSE_MS };
        return this.#pausing(this.#inconclusive);
      }
      const failures = (this.#read(key)?.failures ?? 0) + 1;
      const retryAt = new Date(Date.now() + retryMs(failures)).toISOString();
      const failed: Entry = { state: "broken", at, reason, failures, retryAt };
      await remember(home, section, key, failed);
      return describeFailure(failed);
    }
  }

  #pausing({ reason, until }: { reason: string; until: number }): Verdict<T> {
    const when = new Date(until).toISOString();
    return {
      state: "broken",
      reason: `the test did not finish: ${reason}; thaw tries again after ${when}`,
    };
  }

  #read(key: string): Entry | undefined {
    const { home, section } = this.#options;
    return recall(home, section, key, (value) => entry.safeParse(value).data);
  }

  #value(key: string): T | undefined {
    const { home, section, parse } = this.#options;
    return recall(home, section, key, parse);
  }
}

/** How long a failure holds. */
export function retryMs(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
}

function describeFailure({ reason, failures, at, retryAt }: Entry): {
  state: "broken" | "unproven";
  reason: string;
} {
  const left = retryAt === null ? 0 : Date.parse(retryAt) - Date.now();
  const often = failures === 1 ? "failed" : `failed ${failures} times`;
  const last = at === null ? "" : `, last at ${at}`;
  // A clock that was set back must not hold it up for longer.
  const waiting = left > 0 && left <= LAST_RETRY_MS;
  const next = waiting ? `tried again after ${retryAt}` : "the next use tries it again";
  return { state: waiting ? "broken" : "unproven", reason: `${reason} (${often}${last}; ${next})` };
}

/** The host had no time or room; nothing follows for another time. */
function isTransient(error: unknown): boolean {
  if (error instanceof RunnerError) return TRANSIENT.includes(error.code);
  const { code, name } = error as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT" || code === "ENOMEM" || name === "AbortError";
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
