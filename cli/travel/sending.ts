/** Says what an export or a push is about to send, and how far it is. */
import type { Sending } from "../../client/index.ts";
import { formatSize } from "../format/size.ts";
import { writeProgress } from "../progress/quiet.ts";

/** Between two lines about how far it is, without a terminal. */
const lineMs = 5000;

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

/** Without a terminal: a plain line every few seconds while bytes go. */
export class ProgressLines {
  readonly #live = process.stderr.isTTY === true;
  readonly #quiet: boolean;
  #saidAt: number | undefined;

  constructor({ quiet }: { quiet: boolean }) {
    this.#quiet = quiet;
  }

  show(bytes: number, total: number): void {
    const now = performance.now();
    this.#saidAt ??= now;
    if (this.#live || this.#quiet || now - this.#saidAt < lineMs) return;
    this.#saidAt = now;
    const percent = total === 0 ? 100 : Math.min(100, Math.floor((bytes / total) * 100));
    writeProgress(`thaw: ${formatSize(bytes)} of ${formatSize(total)} sent (${percent}%)\n`);
  }
}
