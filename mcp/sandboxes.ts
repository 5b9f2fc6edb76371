/** Sandboxes that the tools make and may use. */
import { z } from "zod";
import { defined } from "../api/defined.ts";
import { reference, sandboxName, sandbox as sandboxShape } from "../api/schema.ts";
import { type Sandbox, type SandboxInfo, ThawError } from "../client/index.ts";
import { type Call, tellProgress } from "./call.ts";
import { CLEANUP_MS, MAX_FORKS, ROOM_WAIT_MS, TTL_MINUTES } from "./limits.ts";
import { cleanLine } from "./untrusted.ts";

/** Set on what the tools make. Somebody who sets it on a sandbox of their own lets them use that. */
export const LABEL = "thaw-mcp";
/** Names the capture that a sandbox comes from. Children of it have it too. */
const CAPTURE_LABEL = "thaw-mcp-capture";

/** Arguments of what makes sandboxes. */
export const ttlMinutes = z
  .int()
  .min(1)
  .max(TTL_MINUTES.most)
  .default(TTL_MINUTES.default)
  .describe("What this call makes is removed after this many minutes, in use or not");
export const newName = sandboxName.optional().describe("Name of the sandbox. Default: made up");
export const sandboxReference = reference.describe("Name or id of a sandbox that these tools made");
export const captureReference = reference.describe("Id of a failure, a unique beginning of it, or latest");
export const replayLevel = z
  .enum(["memory", "disk"])
  .optional()
  .describe(
    "memory: the machine as it stopped, its processes included. disk: its disk, booted anew, without the processes of then. Default: memory where this host can",
  );
export const forkCount = z.int().min(1).max(MAX_FORKS);

/** A sandbox, as the tools tell it. */
export const sandboxAnswer = z.object({
  id: z.string(),
  name: z.string(),
  state: sandboxShape.shape.state,
  isolation: sandboxShape.shape.isolation,
  /** The capture's id, for what comes from a failure. */
  capture: z.string().nullable(),
  network: z.string().describe("none: it reaches nothing"),
  expiresAt: z.string().nullable().describe("It is removed then"),
});

export function describeSandbox(info: SandboxInfo): z.input<typeof sandboxAnswer> {
  const { id, name, state, isolation, network, expiresAt } = info;
  return { id, name, state, isolation, capture: captureOf(info) ?? null, network: network.mode, expiresAt };
}

export function showSandbox(info: SandboxInfo): string {
  return `${info.name}: ${info.state}, ${info.isolation}, network ${info.network.mode}, removed at ${info.expiresAt}`;
}

/** The capture that a sandbox comes from. */
export function captureOf({ labels, replay }: SandboxInfo): string | undefined {
  return labels[CAPTURE_LABEL] ?? replay?.capture;
}

/** Finds a sandbox that the tools may use. @throws ThawError `not-found`; `usage` for one that is none of theirs */
export async function findSandbox({ thaw, signal }: Call, name: string): Promise<Sandbox> {
  const found = await thaw.sandboxes.get(name, { signal });
  if (found.info.labels[LABEL] !== undefined) return found;
  throw new ThawError(
    "usage",
    `sandbox ${cleanLine(found.name, 40)} was not made by these tools, so they leave it alone`,
    {
      hint: `open_failure and create_sandbox make sandboxes; one that a person made can be used if it has the label: thaw create --label ${LABEL}=yes`,
    },
  );
}

/** What becomes of a new sandbox. */
export interface Making {
  ttlMinutes: number;
  name?: string | undefined;
}

/** Thaws a failure again. */
export function openCapture(
  call: Call,
  capture: string,
  { ttlMinutes, name, level }: Making & { level?: "memory" | "disk" | undefined },
): Promise<Sandbox> {
  const { thaw, signal } = call;
  return thaw.sandboxes.create(
    {
      source: { capture, ...defined({ level }) },
      ...defined({ name }),
      labels: { [LABEL]: "yes", [CAPTURE_LABEL]: capture },
      ttlMs: ttlMinutes * 60_000,
      waitMs: ROOM_WAIT_MS,
    },
    { signal, onProgress: tellProgress(call) },
  );
}

/** Makes children of a sandbox. @throws ThawError `unsupported` when the daemon gives them no time to live */
export async function forkSandbox(
  call: Call,
  parent: Sandbox,
  { count, ttlMinutes, name }: Making & { count: number },
): Promise<Sandbox[]> {
  if (count === 0) return [];
  const { signal } = call;
  const request = { count, ...defined({ name }), labels: { [LABEL]: "yes" }, ttlMs: ttlMinutes * 60_000 };
  const { sandboxes } = await parent.fork(request, { signal, onProgress: tellProgress(call) });
  if (sandboxes.every(({ info }) => info.expiresAt !== null)) return sandboxes;
  await removeAll(sandboxes);
  throw new ThawError(
    "unsupported",
    "the daemon of this host is too old: it makes copies without a time to live",
    {
      hint: "update thaw on that host",
    },
  );
}

/** Removes what a call made, in bounded time. What can't be removed goes when its time is up. */
export async function removeAll(sandboxes: readonly Sandbox[]): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_MS);
  await Promise.allSettled(sandboxes.map((one) => one.remove({ signal })));
}
