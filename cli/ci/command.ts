import type { Define } from "../verbs.ts";
import type { InitFlags } from "./init/answers.ts";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExamples:\n  $ thaw ci init\n  $ thaw ci check");
  command
    .command("init")
    .description("write a workflow that is safe for pull requests of forks, and thaw.yaml")
    .option("--runs-on <labels>", "the runner's labels, with commas between (default: ubuntu-24.04)")
    .option("--template <name>", "base, node, python, or one of your own")
    .option("--command <text>", "what runs in the sandbox")
    .option("--network <rules>", "what it may reach, such as @npm; empty for nothing")
    .option("--timeout <duration>", "end it after this long (default: 20m)")
    .option("--branch <name>", "pushes to it start the workflow (default: as the clone remembers, else main)")
    .option("--action <commit>", "the commit of thaw-ci/thaw to use (default: this release's)")
    .option("--no-project", "write no thaw.yaml")
    .option("-y, --yes", "ask nothing: take what is proposed where no flag says otherwise")
    .option("--force", "overwrite what is there")
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
    .description("find what is unsafe in GitHub workflows and composite actions, and say the repair")
    .argument("[path...]", "files, or folders that hold them; default: the checkout's .github")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      `
Exit code: 0 when nothing unsafe was found, 1 with findings, 2 when there is nothing to check.
A comment on the line, or alone above it, allows a finding: # thaw ci: allow unpinned-action

Examples:
  $ thaw ci check
  $ thaw ci check .github/workflows/release.yml --json`,
    )
    .action(async (paths: string[], flags: { json?: boolean }) => {
      const { check } = await import("./check/check.ts");
      exit(await check(paths, flags));
    });
};
