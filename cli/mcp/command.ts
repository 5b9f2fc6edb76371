import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .addHelpText(
      "after",
      `
The agent starts this command and speaks to it over stdin and stdout (Model Context Protocol). It works on the host of --context, and ends
when the agent closes stdin. It uses only sandboxes that it made, and asks before it removes anything. Limits and safety: docs/MCP.md.

Examples:
  $ thaw --context ci-3 mcp
  $ claude mcp add thaw -- thaw mcp
  $ codex mcp add thaw -- thaw mcp`,
    )
    .action(async () => {
      const { mcp } = await import("./mcp.ts");
      exit(await mcp());
    });
};
