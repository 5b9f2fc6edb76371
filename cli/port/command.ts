import { parseForwardKey } from "../arguments/forward.ts";
import type { ListingFlags } from "../format/listing.ts";
import type { Define } from "../verbs.ts";

export const define: Define = (command, exit) => {
  command
    .argument("<sandbox>", "the sandbox, by its name or id")
    .argument(
      "[forward...]",
      "[ADDRESS:]HOST:GUEST, each a port or a unix socket's path; HOST 0 takes any port",
    )
    .option("--rm <host>", "end the forward of this port or socket of the host", parseForwardKey)
    .option("-q, --quiet", "print only the ports and sockets of this host")
    .option("--json", "print forwards and the sandbox's listening ports as JSON")
    .addHelpText(
      "after",
      `
Without a forward to add, lists the forwards and the sandbox's listening ports. A forward listens on 127.0.0.1 and ::1 unless an address is given; a connection to it
resumes a paused or stopped sandbox. A unix socket on the host is open to its owner only; give an absolute path that does not exist yet. It is removed with the forward.

Examples:
  $ thaw port web 8080:8000
  $ thaw port web 0:5432
  $ thaw port web /home/me/web.sock:8000      # a socket on the host, a port inside
  $ thaw port web 8080:/run/app.sock          # a port on the host, a socket inside
  $ thaw port web --rm /home/me/web.sock`,
    )
    .action(async (name: string, forwards: string[], flags: ListingFlags & { rm?: number | string }) => {
      const { port } = await import("./port.ts");
      await port(name, forwards, flags);
      exit(0);
    });
};
