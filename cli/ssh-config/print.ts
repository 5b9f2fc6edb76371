import { resolve } from "node:path";
import { chooseContext } from "../../client/index.ts";
import { withClient } from "../connect.ts";
import { printJson, writeOut } from "../output.ts";
import { formatEntry } from "./entry.ts";
import { findSshKey } from "./key.ts";

/** Variables that say which daemon, contexts and ssh: whoever reads the entry may have others. */
const CARRIED = ["THAW_HOME", "THAW_SOCKET", "THAW_CONFIG", "THAW_SSH", "XDG_RUNTIME_DIR"] as const;

/** `thaw ssh-config`. */
export async function printSshConfig(sandbox: string | undefined, flags: { json?: boolean }): Promise<void> {
  const context = chooseContext();
  const name =
    sandbox === undefined
      ? undefined
      : (await withClient((client) => client.sandboxes.get(sandbox), { context })).name;
  const { identityFile } = await findSshKey();
  const env = Object.fromEntries(
    CARRIED.flatMap((variable) => {
      const value = process.env[variable];
      // systemd's default is where everybody of this user looks
      const usual = variable === "XDG_RUNTIME_DIR" && value === `/run/user/${process.getuid?.()}`;
      return value === undefined || value === "" || usual ? [] : [[variable, value]];
    }),
  );
  const thaw = [process.execPath, resolve(process.argv[1] ?? "thaw")];
  const entry = formatEntry({ sandbox: name, context: context.name, identityFile, thaw, env });
  if (flags.json === true) printJson(entry);
  else writeOut(entry);
}
