import type { Define } from "../verbs.ts";
import type { LoginFlags } from "./login.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<registry>", "HOST[:PORT], for instance ghcr.io")
    .option("-u, --username <user>", "the user (asked for when it is left out)")
    .option("--password-stdin", "read the password, or a token that stands for it, from stdin")
    .option("--plain-http", "speak to the registry without TLS (of itself only on loopback)")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
The registry is asked whether it takes them. They are kept where docker keeps them, for docker too: in
$REGISTRY_AUTH_FILE, else in ~/.docker/config.json, or with the credential helper that this file names.

Examples:
  $ thaw login ghcr.io
  $ echo "$TOKEN" | thaw login ghcr.io -u ann --password-stdin`,
    )
    .action(async (registry: string, flags: LoginFlags) => {
      const { logIn } = await import("./login.ts");
      await logIn(registry, flags);
      exit(0);
    });
};
