import { projectFileOption } from "../arguments/project-file.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command.addHelpText(
    "after",
    `
A minimal thaw.yaml, at the root of a repository:
  version: 1
  runs:
    test:
      template: node
      workspace: .
      command: npm test

Examples:
  $ thaw project check
  $ thaw project schema > thaw.schema.json
  $ thaw run test`,
  );
  command
    .command("check")
    .description("print every mistake in the project file")
    .addOption(projectFileOption())
    .option("--json", "print the parsed project file as JSON")
    .addHelpText("after", "\nExample:\n  $ thaw project check --file ci/thaw.yaml")
    .action(async (flags: { file?: string; json?: boolean }) => {
      const { check } = await import("./check.ts");
      await check(flags);
      exit(0);
    });
  command
    .command("schema")
    .description("print the project file's JSON Schema, for editors")
    .option("--json", "print JSON; this is the default")
    .addHelpText("after", "\nExample:\n  $ thaw project schema > thaw.schema.json")
    .action(async () => {
      const { projectJsonSchema } = await import("../../client/index.ts");
      const { printJson } = await import("../output.ts");
      printJson(await projectJsonSchema());
      exit(0);
    });
};
