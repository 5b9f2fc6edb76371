/** Bodies of answers, bounded. */
import type { Dispatcher } from "undici";
import { ThawError } from "../../errors.ts";

/** A body of at most `limit` bytes. */
export async function readText(answer: Dispatcher.ResponseData, limit: number): Promise<string> {
  return (await readBytes(answer, limit)).toString();
}

export async function readBytes(answer: Dispatcher.ResponseData, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit)
      throw new ThawError("store-corrupt", `a registry's answer has more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
