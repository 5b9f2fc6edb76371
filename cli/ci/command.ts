import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command.addHelpText("after", "\nExamples:\n  $ thaw ci init\n  $ thaw ci check");
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
