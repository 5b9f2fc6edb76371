import { defineSandboxVerb } from "../sandbox-verb.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  defineSandboxVerb(command, {
    name: "stop",
    help: "Its memory goes to disk with all that runs in it. thaw start, or any command in it, lets it go on where it was.",
    act: (client, sandbox) => client.sandboxes.at(sandbox).stop(),
    exit,
  });
};
