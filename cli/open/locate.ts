import { formatThere, openStore, readContexts, ThawError } from "../../client/index.ts";
import type { CaptureNotice, GitHub } from "../../github/index.ts";
import { askEveryContext } from "../every-context.ts";
import { formatSize } from "../format/size.ts";
import { writeErr } from "../output.ts";
import { checkInStore } from "../travel/check.ts";
import { isOfRun } from "./find-captures.ts";
import type { Found, OpenFlags } from "./open.ts";

/** What `thaw replay` takes, and the context to do it in. */
export interface Located {
  reference: string;
  context?: string;
}

interface Options {
  github: GitHub;
  flags: OpenFlags;
  signal: AbortSignal;
}

/** Finds out where a capture can be replayed. @throws ThawError when it can't be, with what would help */
export async function locate(found: Found, options: Options): Promise<Located> {
  const { capture } = found;
  if (!("place" in capture)) return { reference: capture.capture.id, context: capture.context };
  const { place } = capture;
  if (place.kind === "store") return locateInStore(place.reference, options);
  if (place.kind === "host") return locateOnHost(found, capture, place.host, options);
  const here = await askHosts(found, capture, options);
  if (here.having !== undefined) return { reference: capture.id, context: here.having.context };
  const { fetchArtifact } = await import("./fetch-artifact.ts");
  return { reference: await fetchArtifact(found, { id: capture.id, name: place.name }, options) };
}

/** A registry on this machine or its link, however its address is written: a stranger's notice must not make us talk to it. */
export function isLocalRegistry(reference: string): boolean {
  const [, host = ""] = /^oci:([^/]+)\//.exec(reference) ?? [];
  if (!URL.canParse(`https://${host}`)) return true;
  const { hostname } = new URL(`https://${host}`);
  return /^(localhost|.*\.localhost|0\..*|127\..*|169\.254\..*|\[.*\])\.?$/.test(hostname);
}

async function locateInStore(reference: string, { flags, signal }: Options): Promise<Located> {
  await using opened = await openStore(reference, { plainHttp: flags.plainHttp === true, write: false });
  if (isLocalRegistry(reference) && !opened.policy.isNamed)
    throw new ThawError("store-denied", `the run names a registry on this machine: ${reference}`, {
      hint: "if it is your registry, allow it in stores.yaml: stores: [{store: oci:HOST/REPOSITORY}]",
    });
  await checkBefore(reference, { flags, signal });
  return { reference };
}

/** Says what can be replayed of a capture in a store, and what that fetches. @throws ThawError when it can't be replayed here */
export async function checkBefore(
  reference: string,
  { flags, signal, name = reference }: Omit<Options, "github"> & { name?: string },
): Promise<void> {
  const report = await checkInStore(reference, flags);
  signal.throwIfAborted();
  if (report.best === null)
    throw new ThawError("snapshot-incompatible", `${name} can't be replayed here`, {
      details: report.levels.map(({ level, reasons }) => `${level}: ${reasons.join("; ")}`),
      hint:
        report.resumesIn.map((context) => `thaw --context ${context} replay ${name}`).join(", or ") ||
        undefined,
    });
  if (flags.json === true) return;
  const fetched =
    report.downloadBytes === 0 ? "all of it is here" : `${formatSize(report.downloadBytes)} to fetch`;
  const elsewhere = report.resumesIn.map(
    (context) => `; as it was: thaw --context ${context} replay ${name}`,
  );
  writeErr(`thaw: ${name}: ${report.best}, ${fetched}${elsewhere.join("")}\n`);
}

/** Hosts of every context that have the capture, of that run. */
async function askHosts(found: Found, { id }: CaptureNotice, { signal }: Options) {
  const answers = await askEveryContext(signal, (client, late) => client.captures.get(id, { signal: late }));
  const having = answers.find(
    (answer) => answer.error === undefined && isOfRun(answer.value, found.repository, found.run),
  );
  return { answers, having };
}

async function locateOnHost(
  found: Found,
  notice: CaptureNotice,
  host: string,
  options: Options,
): Promise<Located> {
  const { answers, having } = await askHosts(found, notice, options);
  if (having !== undefined) return { reference: notice.id, context: having.context };
  const name = host.toLowerCase().split(".")[0] ?? host;
  const remote = readContexts().remotes.get(name);
  const silent = answers.find(({ context, error }) => context === name && error !== undefined)?.error;
  throw new ThawError(
    "not-found",
    `capture ${notice.id} is only on the host ${host}, and none of your contexts has it`,
    {
      details: silent === undefined ? [] : [`${name}: ${silent.message}`],
      hint:
        remote === undefined
          ? `thaw context add ${name} ssh://USER@${host}, then thaw --context ${name} replay ${notice.id}`
          : `thaw --context ${name} replay ${notice.id}; ${formatThere(remote, `replay ${notice.id}`)}`,
    },
  );
}
