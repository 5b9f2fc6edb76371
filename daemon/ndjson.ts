/** Long work over HTTP: progress lines, then one result or error. The client's going away cancels the work. */
import type { FastifyReply } from "fastify";
import type { StreamLine } from "../api/schema.ts";
import type { OnProgress } from "../engine/progress.ts";
import { apiErrorOf } from "./errors.ts";

/** Progress a slow reader has not taken is thrown away beyond this. */
const MAX_BUFFERED_BYTES = 1 << 20;

type Work = (options: {
  onProgress: OnProgress;
  say: (line: StreamLine) => void;
  signal: AbortSignal;
}) => Promise<Omit<Extract<StreamLine, { type: "result" }>, "type">>;

/** Lines for whoever reads them as they come. A client that accepts JSON only gets the result, or the error with its status. */
export async function streamWork(reply: FastifyReply, work: Work): Promise<void> {
  if (wantsOneAnswer(reply)) return answerOnce(reply, work);
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

function wantsOneAnswer({ request }: FastifyReply): boolean {
  const accepted = (request.headers.accept ?? "").split(",").map((type) => type.split(";", 1)[0]?.trim());
  return accepted.includes("application/json") && !accepted.includes("application/x-ndjson");
}

async function answerOnce(reply: FastifyReply, work: Work): Promise<void> {
  const abort = new AbortController();
  reply.raw.once("close", () => abort.abort());
  const nobodyHears = (): void => {};
  const result = await work({ onProgress: nobodyHears, say: nobodyHears, signal: abort.signal });
  await reply.code(201).type("application/json").send(JSON.stringify(result));
}
