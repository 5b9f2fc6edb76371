import type { Command } from "commander";
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

function parseTimer(text: string): number | null {
  return text === "never" ? null : parseDuration(text);
}

/** Adds the flags of everything that makes a sandbox. */
export function addTimerFlags(command: Command): Command {
  return command
    .option("--ttl <duration>", "remove it this long after its creation, whatever it does", parseTimer)
    .option("--idle <duration>", "pause it when idle this long: no client, no CPU used", parseTimer)
    .option("--stop-after <duration>", "freeze and stop it when paused this long", parseTimer)
    .option("--remove-after <duration>", "remove it when stopped or failed this long", parseTimer)
    .option("--wait <duration>", "wait in line this long when the host is full", parseDuration);
}

/** The part of a request that these flags are. */
export function readTimers(
  flags: TimerFlags,
): Pick<CreateRequest, "ttlMs" | "idleMs" | "stopAfterMs" | "removeAfterMs" | "waitMs"> {
  return {
    ...(flags.ttl === undefined ? {} : { ttlMs: flags.ttl }),
    ...(flags.idle === undefined ? {} : { idleMs: flags.idle }),
    ...(flags.stopAfter === undefined ? {} : { stopAfterMs: flags.stopAfter }),
    ...(flags.removeAfter === undefined ? {} : { removeAfterMs: flags.removeAfter }),
    ...(flags.wait === undefined ? {} : { waitMs: flags.wait }),
  };
}
