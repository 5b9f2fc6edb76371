import type { AnswerHead } from "./answer.ts";
import { ThawError } from "./errors.ts";
import { findOwnVersion } from "./version.ts";

/** Who asks. With `build`, a daemon that is older refuses, to be replaced. */
export function versionHeaders({ build }: { build: boolean }): Record<string, string> {
  const own = findOwnVersion();
  return {
    "thaw-client-version": own.version,
    "thaw-client-pid": String(process.pid),
    ...traceHeader(process.env.TRACEPARENT),
    ...(build ? { "thaw-client-built": String(own.built), "thaw-client-digest": own.digest } : {}),
  };
}

/** What this client is a part of, as CI tools tell it by W3C's header as a variable. */
function traceHeader(value = ""): Record<string, string> {
  return /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value) ? { traceparent: value } : {};
}

/** Within a major version of the API a daemon of any version serves any client, as far as it knows what is asked. */
export function describeOtherVersion({ message }: ThawError, { header }: AnswerHead): ThawError {
  const own = findOwnVersion().version;
  const restart = header("thaw-restart") ?? null;
  return new ThawError(
    "daemon-mismatch",
    `${message}: its version is ${header("thaw-version")}, this client's ${own}`,
    {
      hint: `update the older one; to restart the daemon: ${restart === null ? "thaw daemon stop; thaw daemon start" : `thaw daemon install, as its unit was; ${restart}`}`,
    },
  );
}
