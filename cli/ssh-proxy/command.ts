import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<host>", "a sandbox, or the name that thaw ssh-config gives it")
    .addHelpText(
      "after",
      "\nFor ssh's ProxyCommand: thaw ssh-config\n\nExample:\n  $ ssh -o ProxyCommand='thaw ssh-proxy web' root@web",
    )
    .action(async (host: string) => {
      const { proxySsh } = await import("./proxy.ts");
      exit(await proxySsh(host));
    });
};
