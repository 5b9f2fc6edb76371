import { readFileSync } from "node:fs";
import type { Clock } from "./clock.ts";

let boot: string | undefined;

/** The host's own clocks. */
export const systemClock: Clock = {
  wall: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint() / 1_000_000n),
  bootId: () => {
    boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return boot;
  },
};
