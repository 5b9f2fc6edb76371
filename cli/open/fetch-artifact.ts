import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ThawError } from "../../client/index.ts";
import {
  type Artifact,
  downloadArtifact,
  findArtifact,
  type GitHub,
  GitHubError,
} from "../../github/index.ts";
import { withClient } from "../connect.ts";
import { formatSize } from "../format/size.ts";
import { writeErr } from "../output.ts";
import { fetchFrom } from "../travel/bring.ts";
import { checkBefore } from "./locate.ts";
import type { Found, OpenFlags } from "./open.ts";

/**
 * Downloads a capture that is an artifact of its run, checks it, and imports it. The file is removed again.
 * @returns the capture's id on the daemon's host
 * @throws ThawError: `not-found` when the artifact has expired or was deleted; GitHubError
 */
export async function fetchArtifact(
  { repository, run }: Found,
  { id, name }: { id: string; name: string },
  { github, flags, signal }: { github: GitHub; flags: OpenFlags; signal: AbortSignal },
): Promise<string> {
  const artifact = await findArtifact(github, repository, { run: run.id, name });
  if (artifact === undefined)
    throw new ThawError("not-found", `run ${run.id} has no artifact ${name}`, {
      hint: "it was deleted, or its upload did not finish; in the second case the capture is on the job's host",
    });
  if (artifact.expired) throw expired(artifact, run.id);
  const folder = await mkdtemp(join(tmpdir(), "thaw-open-"));
  try {
    const file = join(folder, "capture");
    if (flags.json !== true) writeErr(`thaw: ${name}: ${formatSize(artifact.bytes)} to download\n`);
    await downloadArtifact(github, repository, artifact, { file, signal }).catch((error: unknown) => {
      if (error instanceof GitHubError && error.status === 410) throw expired(artifact, run.id);
      throw error;
    });
    await checkBefore(file, { flags, signal, name });
    const { id: found } = await withClient((client) =>
      fetchFrom(client, "capture", file, { ...flags, json: true }),
    );
    if (found !== id)
      throw new ThawError(
        "store-corrupt",
        `the artifact ${name} holds the capture ${found}, but the job reported ${id}`,
        {
          hint: `thaw replay ${found} opens it`,
        },
      );
    return found;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function expired({ name, expiresAt }: Artifact, run: number): ThawError {
  const when = expiresAt === null ? "" : ` at ${expiresAt}`;
  return new ThawError("not-found", `the artifact ${name} of run ${run} has expired${when}`, {
    hint: "run the job again; `retention` in the workflow's step sets how long a capture is kept",
  });
}
