import { type ChosenContext, chooseContext, formatThere, Thaw, ThawError } from "../client/index.ts";

/** Does something with a client of the chosen context and closes its connections, whatever way it ends. */
export async function withClient<T>(
  work: (client: Thaw) => Promise<T>,
  options: { autostart?: boolean; context?: Pick<ChosenContext, "remote"> } = {},
): Promise<T> {
  const { context = chooseContext(), ...reach } = options;
  await using client = new Thaw({ ...reach, remote: context.remote });
  return await work(client);
}

/** For what concerns this host's own files and processes. @throws ThawError `usage` when another host is worked on. */
export function requireLocalContext(verb: string): void {
  const { remote, name, by } = chooseContext();
  if (remote === undefined) return;
  const why = by === "THAW_CONTEXT" ? "" : " is in use (thaw context use) and";
  throw new ThawError(
    "usage",
    `thaw ${verb} works only on this machine, but the context ${name}${why} is another host`,
    {
      hint: `thaw --context local ${verb}; ${formatThere(remote, verb)}`,
    },
  );
}
