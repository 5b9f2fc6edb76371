import { defineSandboxVerb } from "../sandbox-verb.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  defineSandboxVerb(command, {
    name: "stop",
    act: (client, sandbox) => client.sandboxes.at(sandbox).pause(),
    exit,
  });
};
