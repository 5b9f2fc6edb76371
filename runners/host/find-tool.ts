/** Looks a command up as a shell would, also where administrators' tools are. */
import { accessSync, constants } from "node:fs";
import { isAbsolute, join } from "node:path";

/** Absolute path of an executable, or undefined. Every thaw asks: one after the other on Node's threads, these looks would take milliseconds. */
export function findTool(command: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(":")
    .concat("/usr/sbin", "/usr/bin", "/sbin", "/bin")
    .filter(isAbsolute)
    .map((dir) => join(dir, command))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
