import { channel } from "../api/channels.ts";
import type { ControlMessage, RunRequest } from "../api/schema.ts";

/** A JSON message of the client on the status channel. */
export function encodeControl(message: ControlMessage | RunRequest): Buffer {
  return Buffer.from(`\x03${JSON.stringify(message)}`, "utf8");
}

/** A terminal's new size. */
export function encodeResize(size: { rows: number; cols: number }): Buffer {
  return Buffer.from(`\x04${JSON.stringify({ Width: size.cols, Height: size.rows })}`, "utf8");
}

/** Bytes for stdin. */
export function encodeStdin(data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(data.length + 1);
  message[0] = channel.stdin;
  message.set(data, 1);
  return message;
}

/** The end of stdin. */
export const END_OF_STDIN: Buffer = Buffer.from([channel.close, channel.stdin]);
