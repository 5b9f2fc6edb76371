/** Finds a login shell inside the sandbox: the user's own, unless it is one that refuses; bash; sh. */
const script = `case "$SHELL" in */nologin|*/false) SHELL=;; esac
for shell in "$SHELL" /bin/bash /bin/sh; do [ -x "$shell" ] && SHELL=$shell && export SHELL && exec "$shell" -l; done
echo "there is no shell in this sandbox" >&2; exit 127`;

/** The command of a login shell. */
export const LOGIN_SHELL: readonly string[] = ["/bin/sh", "-c", script];

/** Parameter 0 of the script that `thaw ssh-proxy` runs for each connection. Its execs are known by it. */
export const SSH_SERVER_NAME = "thaw-sshd";

/** Whether an exec carries an ssh connection: its output is not for people. */
export function isSshServer({ argv }: { argv: readonly string[] }): boolean {
  return argv[3] === SSH_SERVER_NAME;
}
