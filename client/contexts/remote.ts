import { ThawError } from "../errors.ts";

/** A daemon on another host. */
export type RemoteHost = SshHost | ListeningHost;

interface AnyHost {
  /** The context's name. */
  name: string;
  /** As it was given. */
  url: string;
  host: string;
}

/** Reached with the system's ssh: `ssh://[user@]host[:port]`. */
export interface SshHost extends AnyHost {
  by: "ssh";
  user?: string | undefined;
  port?: number | undefined;
  /** How thaw is called there: words for the far shell. Default: `thaw` on its PATH, else what its daemon left in its state folder. */
  thaw?: string | undefined;
}

/** Reached at its daemon's listener: `https://host[:port]`, or `http://` on this machine. */
export interface ListeningHost extends AnyHost {
  by: "http" | "https";
  port: number;
  /** The file with the token. It is read for each request, so that another token needs no other context. */
  tokenFile: string;
  /** A file in PEM with the authority of its certificate; undefined: those that Node knows. */
  caFile?: string | undefined;
}

/** What belongs to a URL. */
export interface RemoteSettings {
  thaw?: string | undefined;
  tokenFile?: string | undefined;
  caFile?: string | undefined;
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

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

function explainUrl(url: string): string {
  if (!url.startsWith("ssh://")) return "it begins with ssh:// or https://";
  if (/^ssh:\/\/[^@/]*:[^@/]*@/.test(url)) return "a password can't be part of it: load a key with ssh-add";
  if (/^ssh:\/\/[^/]+\/./.test(url)) return "no path follows the host; --thaw says where thaw is there";
  return "ssh://[USER@]HOST[:PORT]";
}

function usage(message: string, hint: string): ThawError {
  return new ThawError("usage", message, { hint });
}

const showUrl = (url: string): string => JSON.stringify(url.slice(0, 300).replace(/:[^:@/]*@/, ":…@"));

/** Makes a remote host of what a user, or the configuration, says. @throws ThawError `usage`. */
export function parseRemote(name: string, url: string, settings: RemoteSettings = {}): RemoteHost {
  checkContextName(name);
  return /^https?:/i.test(url) ? parseListening(name, url, settings) : parseSsh(name, url, settings);
}

function parseSsh(name: string, url: string, { thaw, tokenFile, caFile }: RemoteSettings): SshHost {
  const { user, host, ip, port } = urlPattern.exec(url)?.groups ?? {};
  const target = host ?? ip;
  const number = port === undefined ? undefined : Number(port);
  if (target === undefined || (number !== undefined && (number < 1 || number > 65_535))) {
    const hint = target === undefined ? explainUrl(url) : "a port is a number from 1 to 65535";
    throw usage(`${showUrl(url)} is not the URL of a host`, hint);
  }
  if (tokenFile !== undefined || caFile !== undefined)
    throw usage("ssh needs no token and no authority", "--token-file and --ca-file are for https:// URLs");
  if (thaw !== undefined && (!/^[^\p{Cc}]+$/u.test(thaw) || thaw.length > MAX_THAW_LENGTH))
    throw usage("that can't be how thaw is called", "--thaw /opt/thaw/bin/thaw");
  return { name, url, by: "ssh", user, host: target, port: number, thaw };
}

function parseListening(
  name: string,
  text: string,
  { thaw, tokenFile, caFile }: RemoteSettings,
): ListeningHost {
  const url = URL.parse(text);
  if (url === null || url.href !== `${url.origin}/`)
    throw usage(
      `${showUrl(text)} is not the URL of a host`,
      "https://HOST[:PORT], without a user and a path",
    );
  const by = url.protocol === "https:" ? "https" : "http";
  if (by === "http" && !LOOPBACK.test(url.hostname))
    throw usage(
      `the token would travel to ${url.hostname} without encryption`,
      "https://; http:// is for this machine",
    );
  if (thaw !== undefined) throw usage("no command is run on that host", "--thaw is for ssh:// URLs");
  if (tokenFile === undefined)
    throw usage(
      "which token? The listener of a daemon asks for one",
      "--token-file FILE; on that host: thaw token create",
    );
  for (const file of [tokenFile, caFile])
    if (file !== undefined && !file.startsWith("/"))
      throw usage(`${JSON.stringify(file)} is not an absolute path`, "/home/ann/ci-3.token");
  return {
    ...{ name, url: text, by, tokenFile, caFile },
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port || (by === "https" ? 443 : 80)),
  };
}

/** What to type to go there, for hints: `ssh -p 2222 ann@ci-3`. */
export function formatSsh({ user, host, port }: SshHost): string {
  return `ssh ${port === undefined ? "" : `-p ${port} `}${user === undefined ? "" : `${user}@`}${host}`;
}

/** Where to type a command of thaw, for hints: `there: ssh ann@ci-3 thaw ls`; a listener leads to no shell: `on that host: thaw ls`. */
export function formatThere(remote: RemoteHost, command: string): string {
  return remote.by === "ssh"
    ? `there: ${formatSsh(remote)} thaw ${command}`
    : `on that host: thaw ${command}`;
}
