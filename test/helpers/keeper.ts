/** What a machine's keeper says. */
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";

/** The answer to one request, e.g. `status`. Rejects when there is no keeper. */
export async function askKeeper(runtimeDir: string, request: string): Promise<Record<string, unknown>> {
  const socket = connect({ path: join(runtimeDir, "keeper.sock") });
  try {
    await once(socket, "connect");
    socket.write(`${request}\n`);
    let text = "";
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.includes("\n")) break;
    }
    return JSON.parse(text) as Record<string, unknown>;
  } finally {
    socket.destroy();
  }
}

/** The pid of a machine's hypervisor. */
export async function pidOf({ runtimeDir }: { runtimeDir: string }): Promise<number> {
  return Number((await askKeeper(runtimeDir, "status")).pid);
}
