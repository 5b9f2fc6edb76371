/** Work that a client waits for: whatever it fails of, in the engine's words; `cancelled` once the client has gone. */
import { asEngineError } from "./as-engine-error.ts";
import { EngineError } from "./errors.ts";

export async function interruptible<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw new EngineError("cancelled", "interrupted", { cause: error });
    throw asEngineError(error);
  }
}
