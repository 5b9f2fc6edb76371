import { ThawError } from "./errors.ts";

/** The longest line accepted: what a daemon says in one is far smaller. */
const maxLineBytes = 4 << 20;

/** Parses lines of JSON as they arrive. @throws ThawError `internal` for a line that is too long or not JSON. */
export async function* parseLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > maxLineBytes)
      throw new ThawError("internal", `a line of the daemon's answer passes ${maxLineBytes} bytes`);
    for (const line of lines) if (line !== "") yield parseLine(line);
  }
  if (rest !== "") yield parseLine(rest);
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (error) {
    throw new ThawError("internal", `the daemon's answer is not JSON: ${line.slice(0, 80)}`, {
      cause: error,
    });
  }
}
