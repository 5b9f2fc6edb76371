import { SSH_SERVER_NAME } from "../../api/own-commands.ts";
import type { ExecRequest } from "../../client/index.ts";

/** The exit code of {@link planSshServer} when the sandbox has no sshd. */
export const NO_SERVER_CODE = 69;

/**
 * One connection's sshd, in inetd's manner. Its host key belongs to this boot: a clone or fork has another boot id, makes its own, and
 * forgets its parent's. With PAM an account without a password may be logged in to. Who may log in is told by the command line, so that nothing of it stays in the sandbox.
 */
const script = `key=$1
path=$PATH
PATH=$PATH:/usr/sbin:/sbin
sshd=$(command -v sshd) && command -v ssh-keygen >/dev/null || exit ${NO_SERVER_CODE}
umask 077
read -r boot </proc/sys/kernel/random/boot_id
host=/run/thaw-ssh/$boot
mkdir -p "$host" /run/sshd && chmod 755 /run/sshd
for other in /run/thaw-ssh/*; do [ "$other" = "$host" ] || rm -rf "$other"; done
[ -s "$host/key" ] || { ssh-keygen -q -t ed25519 -N "" -C "" -f "$host/key.$$" && mv "$host/key.$$" "$host/key"; rm -f "$host/key.$$.pub"; }
[ -e /etc/pam.d/sshd ] && pam=yes || pam=no
umask 022
exec "$sshd" -i -e -f /dev/null -o LogLevel=ERROR -o HostKey="$host/key" \\
  -o AuthorizedKeysFile=none -o AuthorizedKeysCommand="/bin/echo $key" -o AuthorizedKeysCommandUser=root \\
  -o AuthenticationMethods=publickey -o PermitRootLogin=prohibit-password -o UseDNS=no -o PrintMotd=no \\
  -o ClientAliveInterval=30 -o ClientAliveCountMax=10 -o "Subsystem=sftp internal-sftp" -o "SetEnv=PATH=$path" -o UsePAM=$pam`;

/** The request for an sshd that lets this key in. */
export function planSshServer(publicKey: string): ExecRequest {
  return { argv: ["/bin/sh", "-c", script, SSH_SERVER_NAME, publicKey], stdin: true, user: "root", cwd: "/" };
}
