import { defined } from "../api/defined.ts";
import { part } from "./tracing.ts";

/** What long work tells while it goes on. */
export interface Progress {
  type: "progress";
  /** What is worked on: `kernel 6.1.0-56`, or a template's name. */
  subject: string;
  phase: string;
  state: "started" | "done" | "output";
  elapsedMs?: number;
  /** A figure or a note when done; a line of output. */
  detail?: string;
}
export type OnProgress = (progress: Progress) => void;

export interface Phase<T> {
  subject: string;
  phase: string;
  /** What to say of the result. */
  detail?: (result: T) => string | undefined;
}

/** Runs one phase and tells when it starts and how long it took. */
export async function phase<T>(
  onProgress: OnProgress,
  { subject, phase, detail }: Phase<T>,
  work: () => Promise<T>,
): Promise<T> {
  const started = performance.now();
  onProgress({ type: "progress", subject, phase, state: "started" });
  // Of a step of a recipe the name may be its command.
  const [name = phase] = phase.split(":", 1);
  const result = await part(name, work);
  const note = detail?.(result);
  onProgress({
    type: "progress",
    subject,
    phase,
    state: "done",
    elapsedMs: performance.now() - started,
    ...defined({ detail: note }),
  });
  return result;
}

export function mib(bytes: number): string {
  const value = bytes / 2 ** 20;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} MB`;
}
