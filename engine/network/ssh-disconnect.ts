/** Tells an SSH client why it is turned away, before any keys are exchanged (RFC 4253, 4.2, 6 and 11.1). */

const DISCONNECT = 1;
const NOT_ALLOWED = 1;
const BLOCK_BYTES = 8;
const MIN_PADDING = 4;

/** What a server sends: its version, then a disconnect message. */
export function sshDisconnect(reason: string): Buffer {
  const payload = Buffer.concat([Buffer.from([DISCONNECT]), number(NOT_ALLOWED), text(reason), text("en")]);
  const bare = 4 + 1 + payload.length + MIN_PADDING;
  const padding = MIN_PADDING + ((BLOCK_BYTES - (bare % BLOCK_BYTES)) % BLOCK_BYTES);
  const packet = [
    number(1 + payload.length + padding),
    Buffer.from([padding]),
    payload,
    Buffer.alloc(padding),
  ];
  return Buffer.concat([Buffer.from("SSH-2.0-thaw\r\n"), ...packet]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([number(bytes.length), bytes]);
}
