import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument(
      "[sandbox]",
      "its name, id, or a unique beginning of its id (default: one entry for all sandboxes)",
    )
    .option("--json", "print the entry as a JSON string")
    .addHelpText(
      "after",
      `
The entry lets ssh, scp, sftp and editors open sandboxes as NAME.thaw (in a context: NAME.CONTEXT.thaw), through the
daemon and without a network. The sandbox needs sshd: openssh-server among its template's packages.

Examples:
  $ thaw ssh-config >> ~/.ssh/config && ssh web.thaw
  $ thaw ssh-config web > entry && scp -F entry web.thaw:/var/log/dpkg.log .`,
    )
    .action(async (sandbox: string | undefined, flags: { json?: boolean }) => {
      const { printSshConfig } = await import("./print.ts");
      await printSshConfig(sandbox, flags);
      exit(0);
    });
};
