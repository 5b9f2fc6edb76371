/** The built action as a release's tag would hold it, run as a runner runs it, against this worker's state folder. */
import { afterAll, beforeAll } from "vitest";
import { Job, type JobOptions, type StepResult } from "../action-runner/job.ts";
import { makeReleaseFolder, type ReleaseFolder } from "../action-runner/release-folder.ts";
import { thawEnv } from "./thaw.ts";

/** @returns what starts a job; the folder is made once for a file of tests */
export function useAction(): (options?: Omit<JobOptions, "action">) => Job {
  let folder: ReleaseFolder;
  beforeAll(() => {
    folder = makeReleaseFolder();
  });
  afterAll(() => folder[Symbol.dispose]());
  return (options = {}) =>
    new Job({ ...options, action: folder.path, env: { ...thawEnv(), ...options.env } });
}

/** What the runner obeyed and what of it was not the action's own. */
export function foreignCommands({ honoured, fenced }: StepResult): string[] {
  const ours = ["::stop-commands::", "::error::", "::notice title=thaw capture::"];
  const isOurs = (line: string): boolean => ours.some((beginning) => line.startsWith(beginning));
  return [...honoured.filter(({ line }) => !isOurs(line)), ...fenced].map(({ line }) => line);
}
