import { parsePort } from "../arguments/count.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "the sandbox, by its name or id")
    .argument("[forward...]", "[ADDRESS:]HOST:GUEST; HOST 0 takes any port")
    .option("--rm <port>", "end the forward of this port of the host", parsePort)
    .option("--json", "print forwards and what listens inside as JSON")
    .addHelpText(
      "after",
      `
Without forwards: lists those there are, and what listens inside. A forward listens on 127.0.0.1 and ::1, unless an address is given; a connection to it
wakes a paused or frozen sandbox.

Examples:
  $ thaw port web 8080:8000
  $ thaw port web 0:5432`,
    )
    .action(async (name: string, forwards: string[], flags: { rm?: number; json?: boolean }) => {
      const { port } = await import("./port.ts");
      await port(name, forwards, flags);
      exit(0);
    });
};
