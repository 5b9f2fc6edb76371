/** Work that many ask for at once. */

/** At most `limit` at a time, in order of asking. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Somebody waits. */
  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

interface Flight<T, E> {
  result: Promise<T>;
  abort: AbortController;
  listeners: Set<(event: E) => void>;
  passengers: number;
}

export interface Passenger<E> {
  onEvent: (event: E) => void;
  signal: AbortSignal;
}

/** One run per key, shared by all who ask while it goes on; aborted when the last of them has left. */
export class SingleFlight<T, E> {
  readonly #flights = new Map<string, Flight<T, E>>();

  async join(
    key: string,
    passenger: Passenger<E>,
    start: (onEvent: (event: E) => void, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const flight = this.#flights.get(key) ?? this.#start(key, start);
    flight.listeners.add(passenger.onEvent);
    flight.passengers += 1;
    const left = Promise.withResolvers<never>();
    left.promise.catch(() => {});
    const leave = () => left.reject(passenger.signal.reason);
    passenger.signal.addEventListener("abort", leave);
    try {
      passenger.signal.throwIfAborted();
      return await Promise.race([flight.result, left.promise]);
    } finally {
      passenger.signal.removeEventListener("abort", leave);
      flight.listeners.delete(passenger.onEvent);
      flight.passengers -= 1;
      if (flight.passengers === 0) {
        flight.abort.abort();
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
      }
    }
  }

  #start(key: string, start: (onEvent: (event: E) => void, signal: AbortSignal) => Promise<T>): Flight<T, E> {
    const listeners = new Set<(event: E) => void>();
    const abort = new AbortController();
    const result = start((event) => {
      for (const listener of listeners) listener(event);
    }, abort.signal);
    const flight: Flight<T, E> = { result, abort, listeners, passengers: 0 };
    this.#flights.set(key, flight);
    const done = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    result.then(done, done);
    return flight;
  }
}
