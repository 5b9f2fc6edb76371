/** The connection to a machine's agent: a pair of named pipes that outlives the processes of the host that use it. */
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { MachineFiles } from "./place.ts";

/** Throws the system's error; ENXIO: no machine reads. */
export function openPort({ toAgent, fromAgent }: Pick<MachineFiles, "toAgent" | "fromAgent">): Duplex {
  const flags = constants.O_NONBLOCK | constants.O_NOFOLLOW;
  const output = openSync(toAgent, constants.O_WRONLY | flags);
  try {
    return new Port(openSync(fromAgent, constants.O_RDONLY | flags), output);
  } catch (error) {
    closeSync(output);
    throw error;
  }
}

class Port extends Duplex {
  readonly #input: Socket;
  readonly #output: Socket;

  constructor(input: number, output: number) {
    super({ allowHalfOpen: false });
    this.#input = new Socket({ fd: input, readable: true, writable: false });
    this.#output = new Socket({ fd: output, readable: false, writable: true });
    this.#input.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) this.#input.pause();
    });
    this.#input.on("end", () => this.push(null));
    for (const socket of [this.#input, this.#output]) {
      socket.on("error", (error) => this.destroy(error));
      socket.on("close", () => this.destroy());
    }
  }

  override _read(): void {
    this.#input.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#output.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#output.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#input.destroy();
    this.#output.destroy();
    done(error);
  }
}
