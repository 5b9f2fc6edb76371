/** A stream's `in` and `out` as a Node duplex: for forwarded connections. Half-close and back-pressure go through, both ways. */
import { Duplex } from "node:stream";
import type { AgentStream } from "./stream.ts";

export function duplexOf(stream: AgentStream): Duplex {
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
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
  const flush = () => {
    for (let piece = waiting.shift(); piece !== undefined; piece = waiting.shift()) {
      stream.consume(1, piece.length);
      if (!duplex.push(piece)) return;
    }
    if (ended) duplex.push(null);
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
