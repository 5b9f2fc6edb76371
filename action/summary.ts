import { summary } from "@actions/core";

/** Adds to the job summary. A runner without one is no fault of the step's. */
export async function addToSummary(markdown: string): Promise<void> {
  if (!process.env.GITHUB_STEP_SUMMARY) return;
  await summary.addRaw(markdown, true).write();
}
