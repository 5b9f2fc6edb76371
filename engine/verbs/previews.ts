/** Who may look at a port of a sandbox without a link, and which links are not good any more: kept in its record. */
import type { PreviewGrant } from "../../api/preview.ts";
import { EngineError } from "../errors.ts";
import type { Parts } from "../parts.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { checkVerb } from "../sandboxes/state.ts";

const MAX_GRANTS = 64;

/** Throws `conflict` when the sandbox is past its life. @param publicUntil null: only a link is made */
export async function sharePreview(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  { port, publicUntil }: { port: number; publicUntil: string | null },
): Promise<void> {
  const { record } = sandbox;
  checkVerb("extend", record);
  if (publicUntil !== null) await change(sandbox, port, { publicUntil });
  audit.note("preview", record.name, { id: sandbox.id, port, public: publicUntil !== null });
}

/** Ends public access to the port, and every link to it that was made so far. */
export async function endPreviews(
  { audit }: Pick<Parts, "audit">,
  sandbox: Sandbox,
  port: number,
): Promise<void> {
  await change(sandbox, port, { publicUntil: null, linksSince: new Date().toISOString() });
  audit.note("preview rm", sandbox.record.name, { id: sandbox.id, port });
}

async function change(
  sandbox: Sandbox,
  port: number,
  changes: Partial<Omit<PreviewGrant, "port">>,
): Promise<void> {
  const { record } = sandbox;
  await sandbox.change(() => {
    const all = record.previews;
    const before = all.find((grant) => grant.port === port);
    const others = all.filter((grant) => grant.port !== port);
    if (others.length >= MAX_GRANTS)
      throw new EngineError(
        "conflict",
        `sandbox ${record.name} already has previews of ${MAX_GRANTS} ports, which is the limit`,
      );
    record.previews = [
      ...others,
      { ...{ port, publicUntil: null, linksSince: null }, ...before, ...changes },
    ];
    return () => {
      record.previews = all;
    };
  });
}
