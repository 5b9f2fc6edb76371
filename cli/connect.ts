import { ThawClient } from "../client/thaw-client.ts";

/** Does something with a client and closes its connections, whatever way it ends. */
export async function withClient<T>(
  work: (client: ThawClient) => Promise<T>,
  options: { autostart?: boolean } = {},
): Promise<T> {
  await using client = new ThawClient(options);
  return await work(client);
}
