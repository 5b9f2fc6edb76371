/** Keeps a step's capture on the host or in a store, and runs the failed command again from the state before it. */
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { type CiContext, type Rerun, type Thaw, ThawError } from "../client/index.ts";
import type { CapturePlace } from "../github/capture-notice.ts";
import { formatBytes } from "./format.ts";
import type { GuestLog } from "./log.ts";
import type { StepPlan } from "./plan.ts";
import { describeError } from "./reader.ts";

/** A capture as the summary tells of it. */
export interface KeptCapture {
  id: string;
  place: CapturePlace;
  /** Its id on the host, `oci:HOST/NAME:TAG`, or `artifact:NAME`. */
  reference: string;
  replayCommand: string;
  /** For how long the machine stood still. */
  pauseMs: number;
  changedBytes: number;
  /** Why it is not where it was to be kept. */
  notKept: string | undefined;
}

type Captured = { id: string; pauseMs: number; changedBytes: number };

/** A capture that is on this host only. */
export function keptOnHost({ id, pauseMs, changedBytes }: Captured): KeptCapture {
  const place = { kind: "host", host: hostname() } as const;
  const replayCommand = `thaw replay ${id}`;
  return { id, place, reference: id, replayCommand, pauseMs, changedBytes, notKept: undefined };
}

const MAX_NAME_CHARS = 128;

/**
 * `acme-shop-8812-1-test-ubuntu-24-fail7k2qxz`: repository, run, attempt, job, matrix, step, and the capture's own, so that nothing is
 * overwritten. A tag of a registry, and an artifact's name.
 */
export function nameFor(id: string, ci: CiContext | undefined): string {
  const clean = (text: string | undefined): string =>
    (text ?? "").replaceAll(/[^A-Za-z0-9_.-]+/g, "-").replaceAll(/^[-.]+|[-.]+$/g, "");
  const matrix = ci?.matrix?.replaceAll(/[^=,]+=/g, "");
  const step = ci?.step?.replace(/^__/, "");
  const parts = [ci?.repository, ci?.runId, ci?.attempt, ci?.job, matrix, step]
    .map(clean)
    .filter((part) => part !== "");
  const own = clean(id);
  const name = parts.join("-").slice(0, MAX_NAME_CHARS - own.length - 1);
  return name === "" ? own : `${name}-${own}`;
}

/** Copies a capture to its store for `captureTimeoutMs` at most. What could not be copied stays on the host, and is named. */
export async function keepCapture(
  captured: Captured,
  plan: StepPlan,
  { client, log, signal }: { client: Thaw; log: GuestLog; signal: AbortSignal },
): Promise<KeptCapture> {
  const { id } = captured;
  const onHost = keptOnHost(captured);
  const { captureStore, captureTimeoutMs } = plan;
  if (captureStore.kind === "host") return onHost;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(captureTimeoutMs)]);
  try {
    if (captureStore.kind === "artifact") {
      const { uploadCapture } = await import("./artifact.ts");
      const name = nameFor(id, plan.ci);
      await log.say(`copying ${id} to the artifact ${name}`);
      const bytes = await uploadCapture(id, { name, plan, client, signal: deadline });
      await log.say(`${id}: ${formatBytes(bytes)} sent`);
      const run = plan.runUrl === undefined ? "" : ` --run ${plan.runUrl}`;
      const replayCommand = `thaw open${run} --id ${id}`;
      return { ...onHost, place: { kind: "artifact", name }, reference: `artifact:${name}`, replayCommand };
    }
    const to = `${captureStore.repository}:${nameFor(id, plan.ci)}`;
    await log.say(`copying ${id} to ${to}`);
    const { encryptTo, openStore, push } = await import("../client/index.ts");
    await using opened = await openStore(to, { plainHttp: false, write: true });
    const { store, tag, policy } = opened;
    const encryption = await encryptTo([...policy.encryptTo, ...plan.recipients]);
    const pushed = await push(client, store, "capture", id, { tag, encryption, signal: deadline });
    await store.finish();
    await log.say(`${id}: ${formatBytes(pushed.sentBytes)} sent${pushed.encrypted ? ", encrypted" : ""}`);
    const place = { kind: "store", reference: to } as const;
    return { ...onHost, place, reference: to, replayCommand: `thaw replay ${to}` };
  } catch (error) {
    signal.throwIfAborted();
    const why = deadline.aborted
      ? `the copy was not finished within ${Math.round(captureTimeoutMs / 1000)} s (capture-timeout)`
      : describeError(error);
    const notKept = `the capture stays on ${hostname()} as ${id}: ${why}`;
    await log.say(notKept);
    return { ...onHost, notKept };
  }
}

/** The flake verdict: the failed run counts too, so runs that pass make it flaky. */
export function verdictOf({ failed, runs }: Pick<Rerun, "failed" | "runs">): "flaky" | "broken" {
  return failed < runs.length ? "flaky" : "broken";
}

/** Runs the failed command again, from the state before it. Undefined when there is no such state. */
export async function rerunFailed(
  id: string,
  plan: StepPlan,
  { client, log, signal }: { client: Thaw; log: GuestLog; signal: AbortSignal },
): Promise<Rerun | undefined> {
  const { reruns, secrets } = plan;
  if (reruns === 0) return undefined;
  let done = 0;
  try {
    return await client.captures.rerun(
      id,
      { count: reruns, env: { ...secrets } },
      {
        signal,
        onRun: ({ failed }) => {
          done += 1;
          void log.say(`rerun ${done} of ${reruns}: ${failed ? "failed" : "passed"}`);
        },
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ThawError)) throw error;
    await log.say(`no reruns: ${describeError(error)}`);
    return undefined;
  }
}

const LOOK_EVERY_MS = 200;

/** The capture that the daemon takes of a cancelled step, once it is there. @param forMs how long to look */
export async function findCancelled(
  client: Thaw,
  sandbox: string,
  forMs: number,
): Promise<string | undefined> {
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(end - performance.now())));
    const { captures } = await client.captures.list({ trigger: "cancel", limit: 20 }, { signal });
    const found = captures.find((capture) => capture.sandbox.id === sandbox);
    if (found !== undefined) return found.id;
    await pause(LOOK_EVERY_MS);
  }
  return undefined;
}
