/** Names of repositories: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`, as docker writes them. */
import { ThawError } from "../../errors.ts";

export interface RegistryName {
  /** As credentials and policies name it: lower case, without the port that HTTPS has of itself, `docker.io` for Docker Hub. */
  registry: string;
  /** `HOST[:PORT]` to connect to. */
  host: string;
  repository: string;
  /** A tag or a digest. */
  tag: string | undefined;
}

export const TAG_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST_PATTERN = /^sha256:[0-9a-f]{64}$/;
const HOST_PATTERN = /^(\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$/;
const REPOSITORY_PATTERN = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const MAX_NAME_LENGTH = 255;
const MAX_PORT = 65_535;
const dockerHub = { name: "docker.io", host: "registry-1.docker.io" };
const DOCKER_HUB_NAMES = new Set([
  dockerHub.name,
  dockerHub.host,
  "index.docker.io",
  "registry.hub.docker.com",
]);
const EXAMPLE = "for instance oci:ghcr.io/acme/failures:TAG";

/** @param word with `oci:` before it. @throws ThawError `usage` with one sentence that names the mistake. */
export function parseRegistryName(word: string): RegistryName {
  const no = (why: string, hint = EXAMPLE): ThawError =>
    new ThawError("usage", `${word} is not oci:HOST[:PORT]/REPOSITORY[:TAG]: ${why}`, { hint });
  const rest = word.slice("oci:".length);
  if (/^([a-z]+:)?\/\//i.test(rest)) throw no("write the registry without https://");
  const slash = rest.indexOf("/");
  if (slash <= 0) throw no("it names no repository");
  const { registry, host } = parseHost(rest.slice(0, slash), no);
  const [path = "", digest, ...more] = rest.slice(slash + 1).split("@");
  const colon = path.indexOf(":");
  const repository = colon < 0 ? path : path.slice(0, colon);
  const tag = colon < 0 ? undefined : path.slice(colon + 1);
  if (repository === "") throw no("it names no repository");
  if (repository !== repository.toLowerCase())
    throw no(
      "names of repositories have lower-case letters only",
      `oci:${registry}/${repository.toLowerCase()}${path.slice(repository.length)}`,
    );
  if (!REPOSITORY_PATTERN.test(repository) || registry.length + repository.length > MAX_NAME_LENGTH)
    throw no(`${JSON.stringify(repository)} is not a name of a repository`);
  if (tag !== undefined && !TAG_PATTERN.test(tag)) throw no(`${JSON.stringify(tag)} is not a tag`);
  if (more.length > 0 || (digest !== undefined && !DIGEST_PATTERN.test(digest)))
    throw no("what follows @ is not a digest: sha256: and 64 hex digits");
  // A digest says more than the tag before it, as for docker.
  const named = digest ?? tag;
  const official = registry === dockerHub.name && !repository.includes("/");
  return { registry, host, repository: official ? `library/${repository}` : repository, tag: named };
}

/** @param word `HOST[:PORT]`, also as a URL. @throws ThawError `usage`. */
export function parseRegistryHost(word: string): Pick<RegistryName, "registry" | "host"> {
  const no = (why: string): ThawError =>
    new ThawError("usage", `${word} is not HOST[:PORT] of a registry: ${why}`, {
      hint: "for instance ghcr.io",
    });
  const bare = word.replace(/^https?:\/\//i, "").replace(/\/(v[12]\/?)?$/, "");
  const scheme = /^[^/]*:\/\//.exec(bare)?.[0];
  if (scheme !== undefined) throw no(`write it without ${scheme}`);
  return parseHost(bare, no);
}

/** A registry as credentials and policies name it. @param registry `HOST[:PORT]` in any case */
export function canonicalRegistry(registry: string): string {
  const name = registry.toLowerCase().replace(/:443$/, "");
  return DOCKER_HUB_NAMES.has(name) ? dockerHub.name : name;
}

function parseHost(word: string, no: (why: string) => ThawError): Pick<RegistryName, "registry" | "host"> {
  const [, name = "", port] = /^(.*?)(?::([^:\]]*))?$/.exec(word.toLowerCase()) ?? [];
  if (!HOST_PATTERN.test(name)) throw no(`${JSON.stringify(name)} is not a host name`);
  if (port !== undefined && !(/^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= MAX_PORT))
    throw no(`${port === "" ? "an empty port" : port} is not a port, 1 to ${MAX_PORT}`);
  const host = port === undefined ? name : `${name}:${Number(port)}`;
  const registry = canonicalRegistry(host);
  return { registry, host: registry === dockerHub.name ? dockerHub.host : host };
}

/** Whether a registry is this host's own: it is spoken to in plain HTTP. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host);
}
