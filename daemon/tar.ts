/** Trees as tar archives, for clients that ask for that type. */
import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { ThawError } from "../client/errors.ts";
import { EngineError } from "../engine/errors.ts";
import type { Agent } from "../runners/agent/agent.ts";

export const TAR_TYPE = "application/x-tar";
const MAX_SKIPPED = 1000;

/** @param as the query's: a link can't set a header */
export function wantsTar({ headers }: FastifyRequest, as?: "tar"): boolean {
  if (as === "tar") return true;
  return headers.accept?.split(",").some((type) => type.split(";")[0]?.trim() === TAR_TYPE) ?? false;
}

/** A request's body as a tree stream; of an archive also what could not be part of it, filled while the tree is read. */
export function readTree(
  { headers }: FastifyRequest,
  body: Readable,
): { tree: AsyncIterable<Buffer>; skipped?: { path: string; reason: string }[] } {
  if (headers["content-type"]?.split(";")[0]?.trim() !== TAR_TYPE) return { tree: body };
  const skipped: { path: string; reason: string }[] = [];
  return { tree: unpack(body, skipped), skipped };
}

async function* unpack(body: Readable, skipped: { path: string; reason: string }[]) {
  const { treeOfTar } = await import("../client/tree/tar-in.ts");
  const { showPath } = await import("../client/tree/format.ts");
  try {
    yield* treeOfTar(body, {
      onSkipped: ({ path, reason }) =>
        skipped.length < MAX_SKIPPED && skipped.push({ path: showPath(path), reason }),
    });
  } catch (error) {
    throw inOurWords(error);
  }
}

/** A file or folder as an archive. Its entries are named from its last name on; those of `/.` by `./`. */
export async function tarOf(agent: Agent, path: string): Promise<AsyncIterable<Buffer>> {
  const { tarOfFile, tarOfTree } = await import("../client/tree/tar-out.ts");
  const { type, mode, uid, gid, size, mtimeNs } = await agent.stat(path);
  const meta = { mode, uid, gid, mtimeNs: BigInt(mtimeNs) };
  const last = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  const name = last === "." ? "" : last;
  if (name === ".." || (type !== "dir" && (type !== "file" || name === "")))
    throw new EngineError("conflict", `${path} can't be in an archive: it is a ${type}`);
  if (type === "dir") return tarOfTree(await agent.treeOut(path, false), { name, meta });
  return tarOfFile(name, { ...meta, size }, (await agent.readFile(path)).body);
}

function inOurWords(error: unknown): unknown {
  if (!(error instanceof ThawError)) return error;
  const { code, message, hint } = error;
  return new EngineError(code as EngineError["code"], message, { hint, cause: error });
}
