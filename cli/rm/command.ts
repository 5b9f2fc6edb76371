import { defineSandboxVerb } from "../sandbox-verb.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  defineSandboxVerb(command, { name: "rm", act: (client, sandbox) => client.removeSandbox(sandbox), exit });
};
