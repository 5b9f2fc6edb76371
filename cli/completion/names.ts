import type { Thaw } from "../../client/index.ts";
import { withClient } from "../connect.ts";

/** What can be named. `template`: one that can be built; `known template`: also those that were built of a recipe elsewhere. */
export type NameKind = "sandbox" | "template" | "known template" | "snapshot" | "capture" | "run" | "context";

const DEADLINE_MS = 1000;
/** A shell puts a completed word onto its command line as it is, and a guest names its files. */
const HARMLESS = /^[\p{L}\p{N}._+@%=,-]+$/u;

async function askNames(client: Thaw, kind: Exclude<NameKind, "run" | "context">): Promise<string[]> {
  const options = { signal: AbortSignal.timeout(DEADLINE_MS) };
  if (kind === "sandbox") return (await client.sandboxes.list(options)).map(({ name }) => name);
  if (kind === "template" || kind === "known template")
    return (await client.templates.list(options))
      .filter(({ shipped }) => shipped || kind === "known template")
      .map(({ name }) => name);
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
  return kind.endsWith("template")
    ? [...new Set([...(await readProjectNames("templates")), ...known])]
    : known;
}

/**
 * Completes an operand of `thaw cp`: `NAME:` of a sandbox or a capture, or a file of a sandbox that runs. Empty for a path of this host,
 * which the shell completes.
 * @param before the operand before it
 */
export async function listCopyOperands(text: string, before: readonly string[]): Promise<string[]> {
  const [, name, folder] = /^([A-Za-z0-9][A-Za-z0-9-]*):(\/(?:.*\/)?)?/s.exec(text) ?? [];
  if (before.length > 1 || before.some((operand) => /^[A-Za-z0-9-]+:/.test(operand))) return [];
  if (name !== undefined) return folder === undefined ? [`${name}:/`] : listFolder(name, folder);
  const names = [...(await listNames("sandbox")), ...(before.length === 0 ? await listNames("capture") : [])];
  return names.map((each) => `${each}:`);
}

/** Of one that runs: another is not woken for it. */
function listFolder(sandbox: string, folder: string): Promise<string[]> {
  const ask = async (client: Thaw): Promise<string[]> => {
    const options = { signal: AbortSignal.timeout(DEADLINE_MS) };
    const found = await client.sandboxes.get(sandbox, options);
    if (found.info.state !== "running") return [];
    const { entries } = await client.sandboxes.at(sandbox).files.list(folder, options);
    return entries
      .filter(({ path }) => HARMLESS.test(path))
      .map(({ path, type }) => `${sandbox}:${folder}${path}${type === "dir" ? "/" : ""}`);
  };
  return withClient(ask, { autostart: false }).catch(() => []);
}

/** Ids of a sandbox's commands; none when its daemon does not answer within a second. */
export function listExecs(sandbox: string): Promise<string[]> {
  const ask = async (client: Thaw): Promise<string[]> => {
    const { info } = await client.sandboxes.get(sandbox, { signal: AbortSignal.timeout(DEADLINE_MS) });
    return info.execs.map(({ id }) => id);
  };
  return withClient(ask, { autostart: false }).catch(() => []);
}
