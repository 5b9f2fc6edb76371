import type { Command } from "commander";
import { defined } from "../../api/defined.ts";
import type { CreateRequest } from "../../client/index.ts";
import { parseDuration } from "./duration.ts";

/** Flags of when a sandbox changes by itself. Milliseconds; null: never. */
export interface TimerFlags {
  ttl?: number | null;
  idle?: number | null;
  stopAfter?: number | null;
  removeAfter?: number | null;
  wait?: number;
}

/** A duration, or `never`. */
export function parseTimer(text: string): number | null {
  return text === "never" ? null : parseDuration(text);
}

/** Adds the flags of everything that makes a sandbox. */
export function addTimerFlags(command: Command): Command {
  return command
    .option(
      "--ttl <duration>",
      "remove the sandbox this long after its creation, even if it is in use",
      parseTimer,
    )
    .option(
      "--idle <duration>",
      "pause the sandbox when it was idle this long: no client, no CPU use",
      parseTimer,
    )
    .option(
      "--stop-after <duration>",
      "stop the sandbox (save it to disk) when it was paused this long",
      parseTimer,
    )
    .option(
      "--remove-after <duration>",
      "remove the sandbox when it was stopped or failed this long",
      parseTimer,
    )
    .option("--wait <duration>", "wait this long for room when the host is full", parseDuration);
}

/** The part of a request that these flags are. */
export function readTimers(
  flags: TimerFlags,
): Pick<CreateRequest, "ttlMs" | "idleMs" | "stopAfterMs" | "removeAfterMs" | "waitMs"> {
  return {
    ...defined({
      ttlMs: flags.ttl,
      idleMs: flags.idle,
      stopAfterMs: flags.stopAfter,
      removeAfterMs: flags.removeAfter,
      waitMs: flags.wait,
    }),
  };
}
