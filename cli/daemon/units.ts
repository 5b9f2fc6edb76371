/** The systemd unit of a daemon, as text. */

export interface UnitOptions {
  node: string;
  script: string;
  home: string;
  socket: string;
  /** The host's own daemon: its socket is for this group. Absent: a user's daemon. */
  group?: string;
}

/** A word of `ExecStart`, quoted as systemd.service(5) says: specifiers and variables are not for us. */
export function quoteWord(word: string): string {
  const escaped = word
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("%", "%%")
    .replaceAll("$", "$$$$");
  return /^[\w@:./=+,$%-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** The unit's text. Machines are left alone when the daemon is stopped: the next one adopts them. */
export function formatUnit({ node, script, home, socket, group }: UnitOptions): string {
  const words = [node, script, "--home", home, "--socket", socket, ...(group ? ["--group", group] : [])];
  const host = group !== undefined;
  return `${[
    "[Unit]",
    `Description=thaw: microVM sandboxes${host ? " of this host" : ""}`,
    ...(host ? ["After=local-fs.target"] : []),
    "",
    "[Service]",
    "# Started is what listens: the daemon says so.",
    "Type=notify",
    "NotifyAccess=all",
    "TimeoutStartSec=10min",
    `ExecStart=${words.map(quoteWord).join(" ")}`,
    "# Machines are processes of their own and outlive the daemon.",
    "KillMode=process",
    "Restart=on-failure",
    "RestartSec=1",
    "TasksMax=infinity",
    "LimitNOFILE=65536",
    ...(host
      ? [
          "# Their sockets have to outlive it as well.",
          "RuntimeDirectory=thaw",
          "RuntimeDirectoryMode=0711",
          "RuntimeDirectoryPreserve=yes",
        ]
      : []),
    "",
    "[Install]",
    `WantedBy=${host ? "multi-user.target" : "default.target"}`,
  ].join("\n")}\n`;
}
