import type { Command } from "commander";
import { defined } from "../../api/defined.ts";
import type { CreateRequest } from "../../client/index.ts";
import { parseDuration } from "./duration.ts";

/** Milliseconds, or `never`. */
export type TimerFlag = number | "never";

/** Flags of when a sandbox changes by itself. */
export interface TimerFlags {
  ttl?: TimerFlag;
  idle?: TimerFlag;
  stopAfter?: TimerFlag;
  removeAfter?: TimerFlag;
  wait?: number;
}

/** A duration, or `never`: not null, of which commander makes an empty text. */
export function parseTimer(text: string): TimerFlag {
  return text === "never" ? text : parseDuration(text);
}

/** As the API has it: null is never. */
export function readTimer(flag: TimerFlag | undefined): number | null | undefined {
  return flag === "never" ? null : flag;
}

/** Adds the flags of everything that makes a sandbox. */
export function addTimerFlags(command: Command): Command {
  return addLifeFlags(command).option(
    "--wait <duration>",
    "wait this long for room when the host is full",
    parseDuration,
  );
}

/** Adds the flags of when it changes by itself. */
export function addLifeFlags(command: Command): Command {
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
    );
}

/** The part of a request that these flags are. */
export function readTimers(
  flags: TimerFlags,
): Pick<CreateRequest, "ttlMs" | "idleMs" | "stopAfterMs" | "removeAfterMs" | "waitMs"> {
  return {
    ...defined({
      ttlMs: readTimer(flags.ttl),
      idleMs: readTimer(flags.idle),
      stopAfterMs: readTimer(flags.stopAfter),
      removeAfterMs: readTimer(flags.removeAfter),
      waitMs: flags.wait,
    }),
  };
}
