/** A sandbox that stays behind its command, until files were read: its time to live is renewed by the step, so that a vanished runner leaves nothing. */
import type { SandboxReference } from "../client/index.ts";

/** Renewals that may fail, or come late, before the sandbox ends. */
const SPARE = 5;

/** Renews until it is disposed of. A renewal that fails is made good by the next one. */
export function renewLease(sandbox: Pick<SandboxReference, "extend">, leaseMs: number): Disposable {
  const everyMs = leaseMs / SPARE;
  let renewedAt = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const byMs = Math.round(now - renewedAt);
    sandbox.extend(byMs, { signal: AbortSignal.timeout(everyMs) }).then(
      () => {
        renewedAt = now;
      },
      () => {},
    );
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
