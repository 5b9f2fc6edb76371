import { readFileSync } from "node:fs";

/** Names this boot of the host. */
export function hostBoot(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
