/** The runner that machines of this run are made by: THAW_RUNNER, else qemu. */
export const runnerName = process.env.THAW_RUNNER || "qemu";

/** Lines of a daemon's config.yaml that make it the runner. */
export const runnerConfig = runnerName === "qemu" ? "" : `runner: { default: ${runnerName} }\n`;

/** The tag of what the runner makes of a template that is tagged `tag` (docs/GVISOR.md). */
export function tagOf(tag: string): string {
  return runnerName === "qemu" ? tag : `${tag}-${runnerName}`;
}
