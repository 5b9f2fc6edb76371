import type { Hit, Rule } from "../finding.ts";
import { writesOf } from "../permissions.ts";
import { runsStrangersCode } from "../strangers-code.ts";
import type { Workflow } from "../workflow.ts";

export const missingPermissions: Rule = {
  id: "missing-permissions",
  *find({ kind, root, on, jobs }: Workflow): Generator<Hit> {
    if (kind === "action" || root.get("permissions") !== undefined) return;
    // one that is only called has at most its caller's
    if (on.size === 1 && on.has("workflow_call")) return;
    const job = jobs.find(({ permissions }) => permissions === undefined);
    if (job === undefined) return;
    yield {
      at: root.entries.find(({ name }) => name === "jobs")?.key ?? root,
      message: `the token of the job ${job.id} has whatever rights the repository's settings give, which may be to write everything`,
      repair:
        "write `permissions: {}` above the jobs, and in each job what it needs, such as `permissions: { contents: read }`",
    };
  },
};

export const writeAll: Rule = {
  id: "write-all",
  *find({ root, jobs }: Workflow): Generator<Hit> {
    for (const at of new Set([root.get("permissions"), ...jobs.map(({ value }) => value.get("permissions"))]))
      if (at?.text?.toLowerCase() === "write-all")
        yield {
          at,
          message:
            "every step's token may write everything, so one bad action or dependency can change the repository",
          repair: "name the rights that are needed, each in the job that needs it",
        };
  },
};

export const writesForStrangers: Rule = {
  id: "write-permission-for-strangers",
  *find({ jobs }: Workflow): Generator<Hit> {
    const told = new Set<unknown>();
    for (const job of jobs) {
      if (runsStrangersCode(job) === undefined) continue;
      for (const { at, name } of writesOf(job.permissions)) {
        if (told.has(at.node)) continue;
        told.add(at.node);
        yield {
          at,
          message: `a pull request's code runs in the job ${job.id} and can use its token, which may write ${name} (of the events, pull_request alone makes a fork's read only)`,
          repair:
            "let this job read only, and do what writes in a job of its own that runs none of the pull request's code",
        };
      }
    }
  },
};
