import { type Rerun, type RerunHost, type RerunOptions, rerun as runAgain } from "../captures/rerun.ts";
import { interruptible } from "../interruptible.ts";
import type { Parts } from "../parts.ts";
import { noTimers } from "../sandboxes/record.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { SealedSecrets } from "../secrets/sealed.ts";
import { shownArgv } from "../secrets/shown-argv.ts";
import type { ResolveOptions } from "../sources.ts";
import { obtain } from "./obtain.ts";
import { removeSandbox } from "./remove.ts";

/** A run of a rerun waits for room this long. */
const RERUN_WAIT_MS = 600_000;

/** Runs a capture's command again from the state just before it. Nothing but captures of new failures is left. */
export async function rerun(parts: Parts, reference: string, options: RerunOptions): Promise<Rerun> {
  const { captures, archive, audit, config } = parts;
  config.required();
  const capture = await captures.store.get(reference);
  using _held = archive.holds.take(capture.id);
  const secrets = await captures.store.secrets(capture.id);
  const { argv, env = {}, count } = options;
  const shown = argv && shownArgv({ argv, env, mask: capture.file.exec?.masked });
  audit.note("rerun", capture.id, { count, argv: shown });
  const host: RerunHost = {
    ...archive.live,
    captures,
    thaw: (name, from, { onProgress, signal }) =>
      thawForRerun(parts, name, { ...from, secrets }, { onProgress, signal }),
    remove: (sandbox) => removeSandbox(parts, sandbox.id),
  };
  return interruptible(options.signal, () => runAgain(host, capture, options));
}

/** Leased, though nobody holds it: what a daemon that was killed leaves, the next one removes. */
async function thawForRerun(
  parts: Parts,
  name: string,
  from: Parameters<RerunHost["thaw"]>[1] & { secrets: SealedSecrets | null },
  options: ResolveOptions,
): Promise<Sandbox> {
  const asked = performance.now();
  parts.registry.claim(name);
  return obtain(parts, {
    ...{ name, from: "rerun", timers: noTimers(), labels: {}, leased: true, temporary: true, asked },
    ...{ ...from, ...options, waitMs: RERUN_WAIT_MS },
  });
}
