import { defineSandboxVerb } from "../sandbox-verb.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  defineSandboxVerb(command, {
    name: "stop",
    help: "The sandbox's memory is saved to disk, with all running processes. thaw start, or any command in the sandbox, resumes it.",
    act: (client, sandbox) => client.sandboxes.at(sandbox).stop(),
    exit,
  });
};
