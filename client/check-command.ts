import { LONG_COMMAND_HINT, tooLong } from "../api/command-length.ts";
import { ThawError } from "./errors.ts";

/** @throws ThawError `usage` for a command that is longer than Linux takes, before anything of it is sent */
export function checkCommand(command: Parameters<typeof tooLong>[0]): void {
  const fault = tooLong(command);
  if (fault !== undefined) throw new ThawError("usage", fault, { hint: LONG_COMMAND_HINT });
}
