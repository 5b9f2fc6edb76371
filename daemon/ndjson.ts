/** Long work over HTTP: progress lines, then one result or error. The client's going away cancels the work. */
import type { FastifyReply } from "fastify";
import type { StreamLine } from "../api/schema.ts";
import type { OnProgress } from "../engine/progress.ts";
import { apiErrorOf } from "./errors.ts";

/** Progress a slow reader has not taken is thrown away beyond this. */
const MAX_BUFFERED_BYTES = 1 << 20;

export async function streamWork(
  reply: FastifyReply,
  work: (options: {
    onProgress: OnProgress;
    say: (line: StreamLine) => void;
    signal: AbortSignal;
  }) => Promise<Omit<Extract<StreamLine, { type: "result" }>, "type">>,
): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "content-type": "application/x-ndjson" });
  const abort = new AbortController();
  raw.on("close", () => abort.abort());
  const say = (line: StreamLine) => {
    if (line.type !== "progress" || raw.writableLength < MAX_BUFFERED_BYTES)
      raw.write(`${JSON.stringify(line)}\n`);
  };
  try {
    say({ type: "result", ...(await work({ onProgress: say, say, signal: abort.signal })) });
  } catch (error) {
    say({ type: "error", error: apiErrorOf(error).error });
  }
  raw.end();
}
