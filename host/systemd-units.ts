/** Where systemd's units of thaw's daemons lie. */
import { homedir } from "node:os";
import { join } from "node:path";

/** Of the host's own daemon. */
export const HOST_UNIT = "/etc/systemd/system/thaw.service";

/** Of a user's daemon. */
export function userUnit(env: Record<string, string | undefined> = process.env): string {
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config"), "systemd/user/thaw.service");
}
