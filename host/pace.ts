/**
 * How slow this host is. Deadlines of machines, processes and answers are written for a common machine and lengthened by this factor where
 * they are set, so that a host on which everything takes ten times as long does not take the slow for the dead.
 */

/** A process of Node on a common machine, busy or not, has started within this. */
const COMMON_START_MS = 150;
const SLOWEST = 20;

let factor = 1;

/** A page, which has this file too, has none: it never measures. */
function nodeTiming(): { bootstrapComplete: number } {
  return (performance as unknown as { nodeTiming: { bootstrapComplete: number } }).nodeTiming;
}

/** @param slow 1 and above; 1: a common machine */
export function setPace(slow: number): void {
  factor = slow;
}

/** The factor in force. */
export function currentPace(): number {
  return factor;
}

/** `ms` as long as this host needs it. */
export function paced(ms: number): number {
  return Math.ceil(ms * factor);
}

/** The factor as measured by how long this process took to start, 1 to 20. An emulated machine shows by it; a busy one hardly does. */
export function measurePace(startMs = nodeTiming().bootstrapComplete): number {
  return Math.min(SLOWEST, Math.max(1, startMs / COMMON_START_MS));
}
