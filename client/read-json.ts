import { NotThaw } from "./answer.ts";

/** Reads a body of JSON to its end. @throws NotThaw when it is not JSON. */
export async function readJson(body: AsyncIterable<Buffer>): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new NotThaw(`its answer is not JSON: ${JSON.stringify(text.slice(0, 80))}`, { cause: error });
  }
}
