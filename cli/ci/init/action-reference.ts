/** Which commit of the Action a workflow names. */
import { findOwnVersion, ThawError } from "../../../client/index.ts";
import { OUR_ACTION } from "../check/workflow.ts";

export interface ActionReference {
  /** `OWNER/REPOSITORY@COMMIT`. */
  uses: string;
  /** Kept as a comment beside it. */
  version: string;
  /** What the writer of the workflow should know. */
  warning?: string;
}

const COMMIT = /^[0-9a-f]{40}$/;

/**
 * The given reference, else this build's own commit: a release is built from its tag. @throws ThawError `usage` for a reference that is no
 * commit.
 */
export function findAction(given: string | undefined): ActionReference {
  const { version, commit, isRelease } = findOwnVersion();
  if (given !== undefined) {
    if (COMMIT.test(given)) return { uses: `${OUR_ACTION}@${given}`, version: "as given" };
    throw new ThawError("usage", `--action ${given} is not a full commit id of 40 hexadecimal digits`, {
      hint: "a tag can be moved: git ls-remote https://github.com/thaw-ci/thaw shows the commits of tags",
    });
  }
  const reference = { uses: `${OUR_ACTION}@${commit ?? `v${version}`}`, version: `v${version}` };
  if (isRelease === true) return reference;
  const what =
    commit === undefined
      ? "names a tag, which thaw ci check reports"
      : "names its commit, which has no built Action";
  return {
    ...reference,
    version: commit === undefined ? "pin the commit of this tag" : `v${version}, a development build`,
    warning: `this build is no release: the workflow ${what}; give the commit of a release: thaw ci init --force --action COMMIT`,
  };
}
