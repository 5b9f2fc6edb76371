/** Spans: what was done for a request, from when until when, for whoever follows it from outside. Without a tracer they cost nothing. */
import { AsyncLocalStorage } from "node:async_hooks";
import { asEngineError } from "./as-engine-error.ts";

/** Ids, figures and words of a closed list: no command, no environment, no output. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  /** As W3C's header of this name has it. */
  readonly traceparent: string;
  end(attributes?: Attributes): void;
}

/** Neither throws nor waits. */
export interface Tracer {
  /** @param parent the value of a `traceparent`; null, or no such value: a new trace begins */
  start(name: string, parent: string | null, attributes: Attributes): Span;
}

/** The innermost span of what is done; null: of none. */
const current = new AsyncLocalStorage<string | null>();
let tracer: Tracer | null = null;

/** Spans go to this tracer from now on; null: to none. */
export function traceTo(to: Tracer | null): void {
  tracer = to;
}

/** What follows is done for this span, of a client's or of another part of thaw. */
export function doingFor<T>(traceparent: string | null, work: () => T): T {
  return tracer === null ? work() : current.run(traceparent, work);
}

/** What nobody asked for. */
export function untraced<T>(work: () => T): T {
  return current.getStore() === undefined ? work() : current.run(null, work);
}

/** Its `traceparent`. */
export function currentSpan(): string | undefined {
  return current.getStore() ?? undefined;
}

/** One that ends elsewhere. It begins a trace where there is none; null: nobody follows. */
export function beginSpan(name: string, attributes: Attributes = {}): Span | null {
  return tracer?.start(name, current.getStore() ?? null, attributes) ?? null;
}

/** A whole request, or what it is for: it begins a trace where there is none. @param told what to say of the result */
export async function traced<T>(
  name: string,
  work: () => Promise<T>,
  { attributes = {}, told = () => ({}) }: { attributes?: Attributes; told?: (result: T) => Attributes } = {},
): Promise<T> {
  const span = beginSpan(name, attributes);
  if (span === null) return work();
  try {
    const result = await current.run(span.traceparent, work);
    span.end(told(result));
    return result;
  } catch (error) {
    span.end({ "error.type": asEngineError(error).code });
    throw error;
  }
}

/** A part of something that is traced: of what is not, there is no span. */
export function part<T>(name: string, work: () => Promise<T>, attributes: Attributes = {}): Promise<T> {
  return (current.getStore() ?? null) === null ? work() : traced(name, work, { attributes });
}
