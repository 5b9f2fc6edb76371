/** A stream's `in` and `out` as a Node duplex: for forwarded connections. Half-close and back-pressure go through, both ways. */
import { Duplex } from "node:stream";
import type { AgentStream } from "./stream.ts";

export function duplexOf(stream: AgentStream): Duplex {
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      full = false;
      flush();
    },
    write(chunk: Buffer, _encoding, done) {
      stream.write(chunk).then(() => done(), done);
    },
    final(done) {
      stream.end();
      done();
    },
    destroy(error, done) {
      stream.reset("closed by the host");
      done(error);
    },
  });
  const waiting: Buffer[] = [];
  let ended = false;
  /** The reader has enough; what waits here was not acknowledged, so the guest stops at its window. */
  let full = false;
  const flush = () => {
    while (!full) {
      const piece = waiting.shift();
      if (piece === undefined) break;
      stream.consume(1, piece.length);
      full = !duplex.push(piece);
    }
    if (ended && waiting.length === 0) duplex.push(null);
  };
  stream.handlers = {
    onData: (_channel, piece) => {
      waiting.push(Buffer.from(piece));
      flush();
    },
    onEnd: () => {
      ended = true;
      flush();
    },
    onClose: (error) => {
      if (error) duplex.destroy(error);
    },
  };
  return duplex;
}
