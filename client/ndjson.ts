import { NotThaw } from "./answer.ts";
import { ThawError } from "./errors.ts";
import { pause } from "./pause.ts";

/** The longest line accepted: what a daemon says in one is far smaller. */
const MAX_LINE_BYTES = 4 << 20;
/** Before a connection that broke is made again. */
const AGAIN_MS = 100;

/** Parses lines of JSON as they arrive. @throws ThawError `internal` for a line that is too long; NotThaw for one that is not JSON. */
export async function* parseLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_BYTES)
      throw new ThawError("internal", `a line of the daemon's answer passes ${MAX_LINE_BYTES} bytes`);
    for (const line of lines) if (line !== "") yield parseLine(line);
  }
  if (rest !== "") yield parseLine(rest);
}

/** Lines that don't end while they are followed: a connection that breaks is made again. */
export async function* followLines<T>(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  { follow, signal }: { follow: boolean; signal?: AbortSignal | undefined },
): AsyncGenerator<T, void> {
  for (;;) {
    try {
      for await (const line of parseLines(await open())) yield line as T;
      if (!follow) return;
    } catch (error) {
      const broke = error instanceof ThawError && error.code === "daemon-unreachable";
      if (!broke || !follow) throw error;
    }
    signal?.throwIfAborted();
    await pause(AGAIN_MS, signal);
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (error) {
    throw new NotThaw(`its answer is not JSON: ${JSON.stringify(line.slice(0, 80))}`, { cause: error });
  }
}
