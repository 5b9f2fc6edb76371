import { Argument } from "commander";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .addArgument(new Argument("<shell>", "which shell").choices(["bash", "zsh", "fish"]))
    .option("--json", "print the script as a JSON string")
    .addHelpText(
      "after",
      `
Examples:
  $ thaw completion bash > /etc/bash_completion.d/thaw
  $ thaw completion zsh > "\${fpath[1]}/_thaw"
  $ thaw completion fish > ~/.config/fish/completions/thaw.fish`,
    )
    .action(async (shell: "bash" | "zsh" | "fish", flags: { json?: boolean }) => {
      const { printScript } = await import("./print-script.ts");
      printScript(shell, flags);
      exit(0);
    });
};
