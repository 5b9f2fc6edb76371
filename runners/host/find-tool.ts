/** Looks a command up as a shell would, also where administrators' tools are. */
import { access, constants } from "node:fs/promises";
import { isAbsolute, join } from "node:path";

/** Absolute path of an executable, or undefined. */
export async function findTool(command: string): Promise<string | undefined> {
  const dirs = (process.env.PATH ?? "")
    .split(":")
    .concat("/usr/sbin", "/usr/bin", "/sbin", "/bin")
    .filter(isAbsolute);
  for (const dir of dirs) {
    const path = join(dir, command);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}
