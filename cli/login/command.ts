import type { Define } from "../verbs.ts";
import type { LoginFlags } from "./login.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<registry>", "HOST[:PORT], for instance ghcr.io")
    .option("-u, --username <user>", "the user (default: login asks for it)")
    .option("--password-stdin", "read the password or an access token from stdin")
    .option("--plain-http", "connect to the registry without TLS (always so on loopback)")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Checks user and password with the registry, and stores them where docker does, so that docker can use them too: in
$REGISTRY_AUTH_FILE, else in ~/.docker/config.json, or in the credential helper that this file names.

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
