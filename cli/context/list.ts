import { localContext, readContexts } from "../../client/index.ts";
import { formatTable } from "../format/table.ts";
import { printJson, writeOut } from "../output.ts";

/** `thaw context ls`: asks nobody. */
export function list(flags: { json?: boolean }): void {
  const { current, remotes } = readContexts();
  const here = { name: localContext, url: null, thaw: null, current: current === localContext };
  const others = [...remotes.values()].map(({ name, url, thaw = null }) => ({
    ...{ name, url, thaw },
    current: name === current,
  }));
  const all = [here, ...others];
  if (flags.json === true) return printJson(all);
  const rows = all.map(({ name, url, thaw, current }) => [
    current ? "*" : " ",
    name,
    url ?? "this host",
    thaw ?? "",
  ]);
  writeOut(formatTable([" ", "NAME", "HOST", "THAW"], rows));
}
