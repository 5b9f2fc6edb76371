/** Says what an export or a push is about to send. */
import type { Sending } from "../../client/index.ts";
import { formatSize } from "../format/size.ts";

/** `26 MiB of fail-7k2qxz and 219 MiB of its base 0123456789abcdef`. */
export function describeSending(sending: readonly Sending[]): string {
  const own = sending.at(-1);
  const base = sending.length > 1 ? sending[0] : undefined;
  const present = sending.reduce((sum, { presentBytes }) => sum + presentBytes, 0);
  const total = sending.reduce((sum, { sendBytes }) => sum + sendBytes, 0);
  if (total === 0) return `nothing to send: ${formatSize(present)} are there`;
  const parts = [
    `${formatSize(own?.sendBytes ?? 0)} of ${own?.id}`,
    ...(base === undefined ? [] : [`${formatSize(base.sendBytes)} of its base ${base.id}`]),
  ];
  const there = present === 0 ? "" : `; ${formatSize(present)} are there`;
  return `to send: ${formatSize(total)} (${parts.join(", ")}${there})`;
}
