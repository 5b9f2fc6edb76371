import type {
  Capture,
  CaptureCheck,
  CaptureList,
  CaptureQuery,
  CaptureVerifyReport,
  DiskListing,
  Outline,
  OutlineCheck,
  Rerun,
  RerunRequest,
  RerunRun,
} from "../../api/schema.ts";
import {
  type ApiCalls,
  type CallOptions,
  type ProgressOptions,
  SLOW_ANSWER_MS,
  withQuery,
} from "../api-calls.ts";
import { GuestFiles } from "./files.ts";

/** Where a captured file is read from. */
export interface CapturedFileOptions extends CallOptions {
  /** Default: the best that the daemon's host can. */
  level?: DiskListing["level"] | undefined;
}

export function capturePath(capture: string, rest = ""): string {
  return `/v1/captures/${encodeURIComponent(capture)}${rest}`;
}

/** Failures that were kept. A capture is named by its id, a unique prefix of that, or `latest`. */
export class Captures {
  readonly #api: ApiCalls;

  constructor(api: ApiCalls) {
    this.#api = api;
  }

  /** Newest first; with `limit` and `after` a page at a time. */
  list(query: CaptureQuery = {}, options?: CallOptions): Promise<CaptureList> {
    const asked = Object.entries(query).map(([name, value]): [string, string | undefined] => [
      name,
      value?.toString(),
    ]);
    const path = withQuery("/v1/captures", Object.fromEntries(asked));
    return this.#api.with<CaptureList>("captures", { method: "GET", path, ...options });
  }

  get(capture: string, options?: CallOptions): Promise<Capture> {
    return this.#api.json({ method: "GET", path: capturePath(capture), ...options });
  }

  /** At which levels a capture can be replayed on the daemon's host, and why not at others. */
  check(capture: string, options?: CallOptions): Promise<CaptureCheck> {
    return this.#api.json({ method: "GET", path: capturePath(capture, "/check"), ...options });
  }

  /** The same of a capture in a store, by what the store says of it and of its base. */
  checkOutline(capture: Outline, base: Outline | null, options?: CallOptions): Promise<OutlineCheck> {
    const path = "/v1/captures/check";
    return this.#api.json({ method: "POST", path, json: { capture, base }, ...options });
  }

  /** Compares the digest of every part, then thaws it on trial. */
  verify(capture: string, options?: CallOptions): Promise<CaptureVerifyReport> {
    const path = capturePath(capture, "/verify");
    return this.#api.json({ method: "POST", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options });
  }

  /** An ELF core: of the process that crashed, or of all memory after a kernel's panic. */
  core(capture: string, options?: CallOptions): AsyncGenerator<Uint8Array, void> {
    return this.#api.bytes(this.#slow(capturePath(capture, "/core"), options));
  }

  /**
   * What is at a path of a capture, and in it when it is a folder. Links are not followed. Read from the machine as it was where that can be
   * thawed here, else from its disk, which may be older.
   */
  listFiles(capture: string, path: string, options: CapturedFileOptions = {}): Promise<DiskListing> {
    const { level, ...call } = options;
    return this.#api.json(this.#slow(withQuery(capturePath(capture, "/list"), { path, level }), call));
  }

  /** Reads a file of a capture, from where `listFiles` looks. */
  readFile(
    capture: string,
    path: string,
    options: CapturedFileOptions = {},
  ): AsyncGenerator<Uint8Array, void> {
    const { level, ...call } = options;
    return this.#api.sameBytes(this.#slow(withQuery(capturePath(capture, "/files"), { path, level }), call));
  }

  /** Files of a captured machine as those of a sandbox. @throws ThawError `unsupported`, on use, where its memory can't be thawed */
  files(capture: string): GuestFiles {
    return new GuestFiles(this.#api, capturePath(capture), SLOW_ANSWER_MS);
  }

  /** Runs a capture's command again, many times, from the state just before it. Goes on where it was when the daemon is killed meanwhile. */
  async rerun(
    capture: string,
    request: RerunRequest = {},
    options: ProgressOptions & { onRun?: (run: RerunRun) => void } = {},
  ): Promise<Rerun> {
    const { onRun, ...how } = options;
    const told = new Set<number>();
    const tellOnce = (run: RerunRun): void => {
      if (told.has(run.number)) return;
      told.add(run.number);
      onRun?.(run);
    };
    const path = capturePath(capture, "/rerun");
    return (await this.#api.result("rerun", path, request, { ...how, onRun: tellOnce })).rerun;
  }

  /** A capture that does not need the QEMU build it was taken by: itself, or one made of it. */
  async makeWhole(capture: string, options: ProgressOptions = {}): Promise<Capture> {
    return (await this.#api.result("capture", capturePath(capture, "/whole"), {}, options)).capture;
  }

  /** Keeps a capture whatever the retention says, or no longer. */
  pin(capture: string, pinned: boolean, options?: CallOptions): Promise<Capture> {
    const path = capturePath(capture, "/pin");
    return this.#api.json({ method: "PUT", path, json: { pinned }, ...options });
  }

  /** Says for how long a capture is kept at most, from its making on; null: as long as its host's retention says. @param maxAgeMs 1 ms to a year */
  setMaxAge(capture: string, maxAgeMs: number | null, options?: CallOptions): Promise<Capture> {
    const path = capturePath(capture, "/retention");
    return this.#api.json({ method: "PUT", path, json: { maxAgeMs }, ...options });
  }

  /** Removes a capture. */
  async remove(capture: string, options?: CallOptions): Promise<void> {
    // Asked again, `latest` would be another one.
    const id = capture === "latest" ? (await this.get(capture, options)).id : capture;
    return this.#api.nothing({ method: "DELETE", path: capturePath(id), ...options });
  }

  #slow(path: string, options: CallOptions = {}) {
    return { method: "GET", path, answerDeadlineMs: SLOW_ANSWER_MS, ...options } as const;
  }
}
