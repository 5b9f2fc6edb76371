import { ThawError } from "../errors.ts";

/** A daemon on another host, reached with the system's ssh. */
export interface RemoteHost {
  /** The context's name. */
  name: string;
  /** `ssh://[user@]host[:port]`, as it was given. */
  url: string;
  user?: string | undefined;
  host: string;
  port?: number | undefined;
  /** How thaw is called there: words for the far shell. Default: `thaw` on its PATH, else what its daemon left in its state folder. */
  thaw?: string | undefined;
}

const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;
// neither a host nor a user begins with a dash: ssh would take it for an option
const urlPattern =
  /^ssh:\/\/(?:(?<user>[A-Za-z0-9_][A-Za-z0-9._-]{0,63})@)?(?:(?<host>[A-Za-z0-9_][A-Za-z0-9._-]{0,252})|\[(?<ip>[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]{1,15})?)\])(?::(?<port>\d{1,5}))?\/?$/;
const MAX_THAW_LENGTH = 1024;

/** @throws ThawError `usage` when it is not a valid context name. */
export function checkContextName(name: string): void {
  if (NAME_PATTERN.test(name)) return;
  throw new ThawError("usage", `${JSON.stringify(name.slice(0, 80))} is not a valid context name`, {
    hint: "use lower-case letters, digits and dashes between them, at most 40",
  });
}

function explainUrl(url: string): string {
  if (!url.startsWith("ssh://")) return "it begins with ssh://";
  if (/^ssh:\/\/[^@/]*:[^@/]*@/.test(url)) return "a password can't be part of it: load a key with ssh-add";
  if (/^ssh:\/\/[^/]+\/./.test(url)) return "no path follows the host; --thaw says where thaw is there";
  return "ssh://[USER@]HOST[:PORT]";
}

/** Makes a remote host of what a user, or the configuration, says. @throws ThawError `usage`. */
export function parseRemote(name: string, url: string, thaw?: string): RemoteHost {
  checkContextName(name);
  const { user, host, ip, port } = urlPattern.exec(url)?.groups ?? {};
  const target = host ?? ip;
  const number = port === undefined ? undefined : Number(port);
  if (target === undefined || (number !== undefined && (number < 1 || number > 65_535))) {
    const shown = JSON.stringify(url.slice(0, 300).replace(/:[^:@/]*@/, ":…@"));
    throw new ThawError("usage", `${shown} is not the URL of a host`, {
      hint: target === undefined ? explainUrl(url) : "a port is a number from 1 to 65535",
    });
  }
  if (thaw !== undefined && (!/^[^\p{Cc}]+$/u.test(thaw) || thaw.length > MAX_THAW_LENGTH)) {
    throw new ThawError("usage", "that can't be how thaw is called", { hint: "--thaw /opt/thaw/bin/thaw" });
  }
  return { name, url, user, host: target, port: number, thaw };
}

/** What to type for ssh to go there, for hints: `ssh -p 2222 ann@ci-3`. */
export function formatSsh({ user, host, port }: RemoteHost): string {
  return `ssh ${port === undefined ? "" : `-p ${port} `}${user === undefined ? "" : `${user}@`}${host}`;
}
