import { asEngineError } from "../as-engine-error.ts";
import type { Parts } from "../parts.ts";
import type { StoredSnapshot } from "../snapshots/store.ts";
import type { BuildWishes, ResolveOptions, SourceRequest } from "../sources.ts";

/** Builds a template's snapshot, unless there is one that this host can thaw, or that this request has made. */
export async function build(
  { config, sources, room, audit, events, snapshots }: Parts,
  source: SourceRequest,
  options: ResolveOptions & BuildWishes & { request?: string | undefined },
): Promise<StoredSnapshot> {
  config.required();
  const asked = new Date().toISOString();
  const recipe = await sources.recipe(source);
  await room.needDisk();
  try {
    const made = options.request === undefined ? null : await snapshots.madeFor(options.request);
    const built = await sources.build(
      recipe,
      made === null ? options : { ...options, force: false, refresh: false },
    );
    audit.note("template build", recipe.name, { snapshot: built.id });
    if (built.manifest.createdAt >= asked)
      events.append({
        ...{ type: "template.built", target: recipe.name, name: recipe.name, sandbox: null },
        details: { snapshot: built.id },
      });
    return built;
  } catch (error) {
    throw asEngineError(error);
  }
}
