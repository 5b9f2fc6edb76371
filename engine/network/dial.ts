/** Connecting to one of several addresses of a name, as RFC 8305 has it: the next is tried while the one before has not answered. */
import { connect, isIP, type Socket } from "node:net";

const NEXT_MS = 250;
const DEADLINE_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;

/** Resolves with the first connection. Rejects when none answers, or when `signal` aborts. @param addresses at least one */
export function dial(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  const order = interleaved(addresses);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const attempts = new Set<Socket>();
  const errors: string[] = [];
  let next = 0;
  let timer: NodeJS.Timeout | undefined;
  const over = (): void => {
    clearTimeout(timer);
    clearTimeout(deadline);
    signal.removeEventListener("abort", abort);
    for (const socket of attempts) socket.destroy();
  };
  const fail = (message: string): void => {
    over();
    reject(new Error(message));
  };
  const start = (): void => {
    clearTimeout(timer);
    const address = order[next];
    if (address === undefined) return;
    next += 1;
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    attempts.add(socket);
    socket.once("connect", () => {
      attempts.delete(socket);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      over();
      resolve(socket);
    });
    // It stays: an error between other listeners must not be an uncaught exception.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (!attempts.delete(socket)) return;
      errors.push(`${address}: ${error.code ?? error.message}`);
      if (next < order.length) start();
      else if (attempts.size === 0)
        fail(`no address of it answers at port ${port} (${errors.slice(0, 3).join(", ")})`);
    });
    timer = setTimeout(start, NEXT_MS);
  };
  const abort = (): void => fail("the connection is not wanted any more");
  const deadline = setTimeout(
    () => fail(`no answer from port ${port} within ${DEADLINE_MS / 1000} s`),
    DEADLINE_MS,
  );
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  else start();
  return promise;
}

/** IPv6 and IPv4 in turn. */
function interleaved(addresses: readonly string[]): string[] {
  const six = addresses.filter((address) => isIP(address) === 6);
  const four = addresses.filter((address) => isIP(address) === 4);
  return Array.from({ length: Math.max(six.length, four.length) }, (_, index) => [six[index], four[index]])
    .flat()
    .filter((address) => address !== undefined);
}
