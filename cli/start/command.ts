import { defineSandboxVerb } from "../sandbox-verb.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  defineSandboxVerb(command, {
    name: "start",
    help: "A running sandbox is left as it is.",
    async act(client, sandbox) {
      const found = await client.sandboxes.get(sandbox);
      return found.info.state === "running" ? found.info : found.resume();
    },
    exit,
  });
};
