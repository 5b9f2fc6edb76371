import type { ThawClient } from "../../client/thaw-client.ts";
import { withClient } from "../connect.ts";

/** What can be named. */
export type NameKind = "sandbox" | "template" | "snapshot";

const deadlineMs = 1000;

async function askNames(client: ThawClient, kind: NameKind): Promise<string[]> {
  const options = { signal: AbortSignal.timeout(deadlineMs) };
  if (kind === "sandbox") return (await client.listSandboxes(options)).map(({ name }) => name);
  if (kind === "template") return (await client.listTemplates(options)).map(({ name }) => name);
  return (await client.listSnapshots(options)).flatMap(({ tags, id }) => (tags.length === 0 ? [id] : tags));
}

/** The names there are; none when no daemon answers within a second. */
export function listNames(kind: NameKind): Promise<string[]> {
  return withClient((client) => askNames(client, kind), { autostart: false }).catch(() => []);
}
