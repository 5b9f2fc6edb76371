import type { Thaw } from "../../client/index.ts";
import { withClient } from "../connect.ts";

/** What can be named. */
export type NameKind = "sandbox" | "template" | "snapshot" | "capture" | "run" | "context";

const deadlineMs = 1000;

async function askNames(client: Thaw, kind: Exclude<NameKind, "run" | "context">): Promise<string[]> {
  const options = { signal: AbortSignal.timeout(deadlineMs) };
  if (kind === "sandbox") return (await client.sandboxes.list(options)).map(({ name }) => name);
  if (kind === "template") return (await client.templates.list(options)).map(({ name }) => name);
  if (kind === "capture") {
    const { captures } = await client.captures.list({}, options);
    return [...(captures.length === 0 ? [] : ["latest"]), ...captures.map(({ id }) => id)];
  }
  return (await client.snapshots.list(options)).flatMap(({ tags, id }) => (tags.length === 0 ? [id] : tags));
}

async function listContexts(): Promise<string[]> {
  const { localContext, readContexts } = await import("../../client/index.ts");
  return [localContext, ...readContexts().remotes.keys()];
}

/** Names of the project file; none when there is no sound one. */
async function readProjectNames(kind: "runs" | "templates"): Promise<string[]> {
  const { loadProject } = await import("../../client/index.ts");
  const project = await loadProject().catch(() => undefined);
  return Object.keys(project?.content[kind] ?? {});
}

/** The names there are; of those a daemon knows none when it does not answer within a second. */
export async function listNames(kind: NameKind): Promise<string[]> {
  if (kind === "run") return readProjectNames("runs");
  if (kind === "context") return listContexts().catch(() => []);
  const known = await withClient((client) => askNames(client, kind), { autostart: false }).catch(() => []);
  return kind === "template" ? [...new Set([...(await readProjectNames("templates")), ...known])] : known;
}

/** Ids of a sandbox's commands; none when its daemon does not answer within a second. */
export function listExecs(sandbox: string): Promise<string[]> {
  const ask = async (client: Thaw): Promise<string[]> => {
    const { info } = await client.sandboxes.get(sandbox, { signal: AbortSignal.timeout(deadlineMs) });
    return info.execs.map(({ id }) => id);
  };
  return withClient(ask, { autostart: false }).catch(() => []);
}
