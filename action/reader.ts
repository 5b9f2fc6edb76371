import { suggestNearest } from "../api/nearest.ts";
import { ThawError } from "../client/index.ts";
import { findUnknownInputs, INPUTS, type InputName, type InputValues, readInputs } from "./inputs.ts";

/** Every mistake of a step's inputs. */
export class InputMistakes extends ThawError {
  constructor(mistakes: readonly string[]) {
    const count = mistakes.length === 1 ? "an input is wrong" : `${mistakes.length} inputs are wrong`;
    super("usage", `${count}; nothing was started`, { details: mistakes });
  }
}

/** An error with all that it says, on one line. */
export function describeError(error: unknown): string {
  if (!(error instanceof ThawError)) return (error as Error).message;
  const details = error.details.length === 0 ? "" : `: ${error.details.join("; ")}`;
  return `${error.message}${details}${error.hint === undefined ? "" : ` (${error.hint})`}`;
}

/** Reads inputs one by one and collects what is wrong with them. */
export class InputReader {
  readonly #values: InputValues;
  readonly #mistakes: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#values = readInputs(env);
    const names = INPUTS.map(({ name }) => name);
    const all = `the inputs are ${names.join(", ")}`;
    for (const unknown of findUnknownInputs(env))
      this.#mistakes.push(`${unknown}: there is no such input; ${suggestNearest(unknown, names, all)}`);
  }

  /** @throws InputMistakes */
  finish(): void {
    if (this.#mistakes.length > 0) throw new InputMistakes(this.#mistakes);
  }

  has(name: InputName): boolean {
    return this.#values[name] !== "";
  }

  get hasMistakes(): boolean {
    return this.#mistakes.length > 0;
  }

  /** Undefined when it was not given, or is wrong: then that is noted. */
  read<T>(name: InputName, parse: (text: string) => T): T | undefined {
    if (!this.has(name)) return undefined;
    try {
      return parse(this.#values[name]);
    } catch (error) {
      return this.#note(name, error);
    }
  }

  /** The same for what takes time. */
  async readLater<T>(name: InputName, parse: (text: string) => Promise<T>): Promise<T | undefined> {
    if (!this.has(name)) return undefined;
    try {
      return await parse(this.#values[name]);
    } catch (error) {
      return this.#note(name, error);
    }
  }

  /** Notes what a parser refused. All else is a fault of ours. */
  #note(name: InputName, error: unknown): undefined {
    if (!(error instanceof RangeError || error instanceof ThawError)) throw error;
    this.refuse(name, describeError(error));
  }

  refuse(name: InputName, why: string): void {
    this.#mistakes.push(`${name}: ${why}`);
  }

  /** Refuses each of `others` that was given beside `name`. */
  exclude(name: InputName, others: readonly InputName[], why: string): void {
    if (!this.has(name)) return;
    for (const other of others) if (this.has(other)) this.refuse(other, `can't be used with ${name}: ${why}`);
  }

  /** Refuses `name` where none of `others` was given. */
  require(name: InputName, others: readonly InputName[]): void {
    if (this.has(name) && !others.some((other) => this.has(other)))
      this.refuse(name, `needs ${others.join(" or ")}`);
  }
}
