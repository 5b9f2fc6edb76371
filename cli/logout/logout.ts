import { logout } from "../../client/index.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw logout`. */
export async function logOut(word: string, flags: { json?: boolean }): Promise<void> {
  const { registry, forgotten } = await logout(word);
  if (flags.json === true) return printJson({ registry, forgotten });
  writeOut(
    forgotten.length === 0
      ? `${registry}: nobody was logged in\n`
      : `${registry}: logged out; forgotten in ${forgotten.join(", ")}\n`,
  );
}
