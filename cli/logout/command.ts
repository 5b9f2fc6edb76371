import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<registry>", "HOST[:PORT], for instance ghcr.io")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Every file of docker and podman that has them forgets them, and so do the credential helpers that these files name.

Example:
  $ thaw logout ghcr.io`,
    )
    .action(async (registry: string, flags: { json?: boolean }) => {
      const { logOut } = await import("./logout.ts");
      await logOut(registry, flags);
      exit(0);
    });
};
