/** Cuts a stream into pieces of `length` bytes; the last one may be shorter. A piece is held in memory. */
export async function* cutInPieces(
  bytes: AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<Buffer, void> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of bytes) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + length - held);
      parts.push(part);
      held += part.length;
      offset += part.length;
      if (held < length) continue;
      yield Buffer.concat(parts);
      parts = [];
      held = 0;
    }
  }
  if (held > 0) yield Buffer.concat(parts);
}
