import { NotThaw } from "./answer.ts";
import { joinBytes } from "./join-bytes.ts";

/** Reads a body of JSON to its end. @throws NotThaw when it is not JSON. */
export async function readJson(body: AsyncIterable<Uint8Array>): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const text = new TextDecoder().decode(joinBytes(chunks));
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new NotThaw(`its answer is not JSON: ${JSON.stringify(text.slice(0, 80))}`, { cause: error });
  }
}
