/** The tab's time, divided among all terminals and whoever uses the page. */

/** Output is parsed this long before a click or a frame has its turn. */
const TURN_MS = 10;

let end = 0;
let next: Promise<void> | undefined;

/** Called after a chunk was parsed. @returns a promise when others are to have their turn before the next chunk */
export function takeTurns(): void | Promise<void> {
  if (next === undefined && performance.now() < end) return;
  next ??= new Promise((resolve) => {
    // a timer waits 4 ms at least, and in a hidden tab up to a minute
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      next = undefined;
      end = performance.now() + TURN_MS;
      resolve();
    };
    port2.postMessage(undefined);
  });
  return next;
}
