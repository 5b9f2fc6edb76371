/** Scans for secrets, one at a time: each capture is looked through once, and before anything of it leaves the host. */
import type { SecretScan } from "../../api/case-file.ts";
import type { EventDetails } from "../../api/event.ts";
import { Gate } from "../concurrency.ts";
import type { LiveContext } from "../sandboxes/freeze.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import { assertPublishable, type PublishOptions } from "./publish.ts";
import type { Scanned } from "./scan.ts";
import { scanInProcess } from "./scan-process.ts";
import type { CaptureStore, StoredCapture } from "./store.ts";

export interface ScanContext extends LiveContext {
  /** The bundle of the process that scans. */
  scanPath: string;
  tell(type: "capture.scanned", id: string, details: EventDetails<"capture.scanned">): void;
}

export class Scans {
  readonly #context: ScanContext;
  readonly #store: CaptureStore;
  readonly #leaving: AbortSignal;
  readonly #gate = new Gate(1);
  readonly #running = new Map<string, Promise<SecretScan>>();

  /** @param leaving the daemon leaves; what was not looked through is, when it is asked for */
  constructor(context: ScanContext, store: CaptureStore, leaving: AbortSignal) {
    this.#context = context;
    this.#store = store;
    this.#leaving = leaving;
  }

  /** What was found in it; looks first when nobody has. Kept in its notes. */
  async of(capture: StoredCapture): Promise<SecretScan> {
    const { scan } = await this.#store.notes(capture.id);
    if (scan !== null) return scan;
    const running = this.#running.get(capture.id) ?? this.#gate.run(() => this.#look(capture));
    this.#running.set(capture.id, running);
    try {
      return await running;
    } finally {
      this.#running.delete(capture.id);
    }
  }

  /** The capture as it may leave the host. Throws `secrets-found`. */
  async publishable(capture: StoredCapture, options: PublishOptions = {}): Promise<StoredCapture> {
    return assertPublishable(capture, await this.of(capture), options);
  }

  async #look(capture: StoredCapture): Promise<SecretScan> {
    const { store, admission, scanPath } = this.#context;
    const secrets = await this.#store.secrets(capture.id);
    const snapshot = await store.get(capture.manifest.base.snapshot);
    const base = (await this.#hasRun(snapshot)) ? partsOf(snapshot) : null;
    const scan = await admission.withHelper(() =>
      scanInProcess(scanPath, { capture: partsOf(capture), base, secrets }, this.#leaving),
    );
    await this.#store.note(capture.id, { scan });
    const kinds = [...new Set(scan.findings.map(({ kind }) => kind))];
    this.#context.tell("capture.scanned", capture.id, { kinds });
    return scan;
  }

  /** Whether commands of a sandbox may have left something in a snapshot: not in a template's, nor in what was booted from that. */
  async #hasRun({ manifest }: StoredSnapshot): Promise<boolean> {
    if (manifest.template !== null) return false;
    const origin = manifest.variantOf ?? manifest.bootedFrom;
    if (origin === null) return true;
    const found = await this.#context.store.get(origin).catch(() => null);
    return found === null || this.#hasRun(found);
  }
}

/** All that the process that scans has to know of it. */
function partsOf<P extends { name: string }>({ dir, manifest }: Scanned<P>): Scanned<P> {
  return { dir, manifest: { parts: manifest.parts } };
}
