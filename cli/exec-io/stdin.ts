import type { ExecConnection } from "../../client/index.ts";

/** Passes our stdin on to its end. Ours may outlive the exec: then it is left alone. */
export async function passStdin(connection: ExecConnection): Promise<void> {
  try {
    for await (const chunk of process.stdin) await connection.writeStdin(chunk as Buffer);
  } catch {
    // a terminal that has gone ends stdin like a closed pipe does
  }
  connection.endStdin();
}
