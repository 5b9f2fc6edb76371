import { localContext, quoteForShell } from "../../client/index.ts";

/** What an entry is made of. */
export interface EntryOptions {
  /** Undefined: an entry for every sandbox. */
  sandbox: string | undefined;
  context: string;
  identityFile: string;
  /** How thaw is called: command and arguments. */
  thaw: readonly string[];
  /** Variables that say where the daemon is. */
  env: Readonly<Record<string, string>>;
}

/** `web.thaw`, in another context `web.ci-3.thaw`. */
export function sshHostOf(sandbox: string, context: string): string {
  return context === localContext ? `${sandbox}.thaw` : `${sandbox}.${context}.thaw`;
}

/** The sandbox of a host that {@link sshHostOf} made; anything else is a sandbox's name or id. */
export function sandboxOfSshHost(host: string): string {
  return host.replace(/(\.[a-z0-9-]+)?\.thaw$/, "");
}

/** A value in ssh's configuration: in quotes, and % is % itself. */
function quoteForConfig(text: string): string {
  return `"${text.replaceAll("%", "%%")}"`;
}

/** An entry for ssh's configuration. The channel is thaw's own, so there is nothing that a host key would prove. */
export function formatEntry({ sandbox, context, identityFile, thaw, env }: EntryOptions): string {
  // names of other contexts have one dot more
  const pattern = context === localContext ? "*.thaw !*.*.thaw" : `*.${context}.thaw`;
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const fixed = [
    ...(variables.length === 0 ? [] : ["env", ...variables]),
    ...thaw,
    "--context",
    context,
    "ssh-proxy",
    "--",
  ];
  const command = fixed.map((word) => (/^[\w./:=@+-]+$/.test(word) ? word : quoteForShell(word)));
  const settings = [
    ["User", "root"],
    ["ProxyCommand", `${command.join(" ").replaceAll("%", "%%")} ${sandbox ?? "'%n'"}`],
    ["IdentityFile", quoteForConfig(identityFile)],
    ["IdentitiesOnly", "yes"],
    ["PreferredAuthentications", "publickey"],
    ["StrictHostKeyChecking", "no"],
    ["UserKnownHostsFile", "/dev/null"],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["UpdateHostKeys", "no"],
    ["LogLevel", "ERROR"],
    ["ForwardAgent", "no"],
    ["ForwardX11", "no"],
  ];
  const lines = settings.map(([name, value]) => `  ${name} ${value}`);
  return `Host ${sandbox === undefined ? pattern : sshHostOf(sandbox, context)}\n${lines.join("\n")}\n`;
}
