import type { Define } from "../verbs.ts";
import type { InitFlags } from "./init/answers.ts";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExamples:\n  $ thaw ci init\n  $ thaw ci check");
  command
    .command("init")
    .description("write a workflow that is safe for pull requests of forks, and thaw.yaml")
    .option("--runs-on <labels>", "the runner's labels, with commas between (default: ubuntu-24.04)")
    .option("--template <name>", "base, node, python, go, rust, java, docker, or a template of your own")
    .option("--command <text>", "the command to run in the sandbox")
    .option("--network <rules>", "destinations that the sandbox may reach, such as @npm; empty for none")
    .option("--timeout <duration>", "end the command after this long (default: 20m)")
    .option(
      "--branch <name>",
      "run the workflow on pushes to this branch (default: the clone's default branch, else main)",
    )
    .option("--action <commit>", "the commit of thaw-ci/thaw to use (default: this release's)")
    .option("--no-project", "do not write thaw.yaml")
    .option("-y, --yes", "ask nothing: use the proposed value where no flag is given")
    .option("--force", "overwrite existing files")
    .option("--json", "print what was written as JSON; asks nothing")
    .addHelpText(
      "after",
      "\nExamples:\n  $ thaw ci init\n  $ thaw ci init --yes --template node --command 'npm ci && npm test' --network @npm",
    )
    .action(async (flags: InitFlags) => {
      const { init } = await import("./init/init.ts");
      exit(await init(flags.json === true ? { ...flags, yes: true } : flags));
    });
  command
    .command("check")
    .description(
      "find unsafe settings in GitHub workflows and composite actions, and print how to repair them",
    )
    .argument("[path...]", "files or folders to check (default: the checkout's .github)")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      `
Exit code: 0 when nothing unsafe was found, 1 with findings, 2 when there is nothing to check.
To allow a finding, put a comment on its line or alone on the line above: # thaw ci: allow unpinned-action

Examples:
  $ thaw ci check
  $ thaw ci check .github/workflows/release.yml --json`,
    )
    .action(async (paths: string[], flags: { json?: boolean }) => {
      const { check } = await import("./check/check.ts");
      exit(await check(paths, flags));
    });
};
