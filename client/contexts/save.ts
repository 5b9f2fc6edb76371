import { defined } from "../../api/defined.ts";
import { ThawError } from "../errors.ts";
import { type Contexts, findConfigFolder, localContext } from "./config.ts";
import type { ListeningHost, RemoteSettings, SshHost } from "./remote.ts";

/** Writes the contexts, whole or not at all. @throws ThawError `host-not-ready` when they can't be written. */
export async function saveContexts({ current, remotes }: Contexts): Promise<void> {
  const cwd = findConfigFolder();
  const contexts = Object.fromEntries(
    [...remotes.values()].map(({ name, url, ...remote }) => [name, { url, ...settingsOf(remote) }]),
  );
  const { default: Conf } = await import("conf");
  try {
    const store = new Conf({
      cwd,
      configName: "contexts",
      accessPropertiesByDotNotation: false,
      configFileMode: 0o600,
    });
    store.store = { ...(current === localContext ? {} : { current }), contexts };
  } catch (error) {
    throw new ThawError("host-not-ready", `can't write the contexts in ${cwd}: ${(error as Error).message}`, {
      hint: "set THAW_CONFIG to a folder you may write",
      cause: error,
    });
  }
}

function settingsOf(
  remote: Omit<SshHost, "name" | "url"> | Omit<ListeningHost, "name" | "url">,
): RemoteSettings {
  if (remote.by === "ssh") return defined({ thaw: remote.thaw });
  return defined({ tokenFile: remote.tokenFile, caFile: remote.caFile });
}
