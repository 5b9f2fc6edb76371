import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<registry>", "HOST[:PORT], for instance ghcr.io")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Removes them from every credential file of docker and podman, and from the credential helpers that these files name.

Example:
  $ thaw logout ghcr.io`,
    )
    .action(async (registry: string, flags: { json?: boolean }) => {
      const { logOut } = await import("./logout.ts");
      await logOut(registry, flags);
      exit(0);
    });
};
