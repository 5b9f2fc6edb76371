import { channel } from "../api/channels.ts";
import type { ControlMessage, RunRequest } from "../api/schema.ts";

const encoder = new TextEncoder();

/** A JSON message of the client on the status channel. */
export function encodeControl(message: ControlMessage | RunRequest): Uint8Array {
  return encoder.encode(`\x03${JSON.stringify(message)}`);
}

/** A terminal's new size. */
export function encodeResize(size: { rows: number; cols: number }): Uint8Array {
  return encoder.encode(`\x04${JSON.stringify({ Width: size.cols, Height: size.rows })}`);
}

/** Bytes for stdin. */
export function encodeStdin(data: Uint8Array): Uint8Array {
  const message = new Uint8Array(data.length + 1);
  message[0] = channel.stdin;
  message.set(data, 1);
  return message;
}

/** The end of stdin. */
export const END_OF_STDIN: Uint8Array = Uint8Array.of(channel.close, channel.stdin);
