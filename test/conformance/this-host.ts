/** What the suite must know of a host that is not a common one, from THAW_TEST_HOST: JSON with any of these. */
import type { RunnerSettings } from "../../runners/runner.ts";

interface ThisHost {
  /** As in the daemon's config.yaml. */
  runner?: RunnerSettings;
  /** A template's name or file, whose machines are made. Debian 12. */
  template?: string;
  /** The snapshot that this makes. Default: called as `template`. */
  snapshot?: string;
}

const {
  runner = {},
  template = "base",
  snapshot = template,
} = JSON.parse(process.env.THAW_TEST_HOST ?? "{}") as ThisHost;

export { runner as settings, snapshot as templateSnapshot, template };
/** @returns a deadline on this host that is `ms` on a common one */
export const patient = (ms: number): number => ms * (runner.slow ?? 1);
