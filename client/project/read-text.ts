import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A text file of a bounded size. What is no file is refused: a pipe would block for ever. @throws Error that says why it can't be read */
export function readTextNow(file: string, maxBytes: number): string {
  const handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(handle).isFile()) throw new Error("it is not a file");
    const buffer = Buffer.alloc(maxBytes + 1);
    const bytes = readSync(handle, buffer, 0, buffer.length, 0);
    if (bytes > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, bytes));
  } finally {
    closeSync(handle);
  }
}
