/** The command line of the ssh that reaches a far daemon, pure. */
import type { SshHost } from "../contexts/remote.ts";
import { quoteForShell } from "../shell-quote.ts";

/** A socket's path (107 bytes), less what ssh adds: `/ssh-`, a digest of 40, and a suffix of 17 while it makes the socket. */
const MAX_CONTROL_FOLDER_BYTES = 107 - 5 - 40 - 17;

/** Without a command of the user's: thaw on the PATH, or what a daemon that ran there left in its state folder. */
const findThaw =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the far shell's
  't=$(command -v thaw) || t="${THAW_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/thaw}/thaw"; ' +
  '[ -x "$t" ] || { echo "neither thaw on the PATH nor $t" >&2; exit 127; }; exec "$t" daemon stdio';

/** What runs at the far end, whatever the user's shell there is. */
export function farCommand({ thaw }: SshHost): string {
  return `exec /bin/sh -c ${quoteForShell(thaw === undefined ? findThaw : `exec ${thaw} daemon stdio`)}`;
}

/** Connections after the first one share it, which saves their handshakes; not where the folder's path is too long for a socket's. */
function sharing(folder: string | undefined): string[] {
  if (folder === undefined || Buffer.byteLength(folder) > MAX_CONTROL_FOLDER_BYTES) return [];
  const path = `${folder.replaceAll("%", "%%")}/ssh-%C`;
  return ["ControlMaster=auto", `ControlPath=${path}`, "ControlPersist=60"];
}

/**
 * @param options ssh: the command and options of the user's choice. controlFolder: where connections may be shared.
 * @returns command and arguments. Nothing is ever asked: there may be nobody to answer.
 */
export function sshArgv(
  remote: SshHost,
  options: { ssh?: string | undefined; controlFolder?: string | undefined } = {},
): [string, ...string[]] {
  const [command = "ssh", ...words] = (options.ssh ?? "ssh").split(" ").filter((word) => word !== "");
  const settings = [
    ...["BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3"],
    // what the user's configuration asks for at that host is meant for terminals
    ...["ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no"],
    ...["RemoteCommand=none", "EscapeChar=none"],
    ...sharing(options.controlFolder),
  ];
  return [
    command,
    ...words,
    "-T",
    ...settings.flatMap((setting) => ["-o", setting]),
    ...(remote.port === undefined ? [] : ["-p", String(remote.port)]),
    ...(remote.user === undefined ? [] : ["-l", remote.user]),
    "--",
    remote.host,
    farCommand(remote),
  ];
}
