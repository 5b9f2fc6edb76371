import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { InvalidArgumentError } from "commander";

/** A file that an argument names, as text. Never waits for a pipe or a device. */
export function readSmallFile(file: string, maxBytes: number): string {
  let handle: number | undefined;
  try {
    handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!fstatSync(handle).isFile()) throw new Error("it is not a file");
    const buffer = Buffer.alloc(maxBytes + 1);
    const bytes = readSync(handle, buffer, 0, buffer.length, 0);
    if (bytes > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, bytes));
  } catch (error) {
    throw new InvalidArgumentError(`Can't read ${file}: ${(error as Error).message}.`);
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}
