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

export const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const hostPattern = /^(\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$/;
const repositoryPattern = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const maxNameLength = 255;
const maxPort = 65_535;
const dockerHub = { name: "docker.io", host: "registry-1.docker.io" };
const dockerHubNames = new Set([
  dockerHub.name,
  dockerHub.host,
  "index.docker.io",
  "registry.hub.docker.com",
]);
const example = "for instance oci:ghcr.io/acme/failures:TAG";

/** @param word with `oci:` before it. @throws ThawError `usage` with one sentence that names the mistake. */
export function parseRegistryName(word: string): RegistryName {
  const no = (why: string, hint = example): ThawError =>
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
  if (!repositoryPattern.test(repository) || registry.length + repository.length > maxNameLength)
    throw no(`${JSON.stringify(repository)} is not a name of a repository`);
  if (tag !== undefined && !tagPattern.test(tag)) throw no(`${JSON.stringify(tag)} is not a tag`);
  if (more.length > 0 || (digest !== undefined && !digestPattern.test(digest)))
    throw no("what follows @ is not a digest: sha256: and 64 hex digits");
  // A digest says more than the tag before it, as for docker.
  const named = digest ?? tag;
  const official = registry === dockerHub.name && !repository.includes("/");
  return { registry, host, repository: official ? `library/${repository}` : repository, tag: named };
}

/** @param word `HOST[:PORT]`, also as a URL. @throws ThawError `usage`. */
export function parseRegistryHost(word: string): Pick<RegistryName, "registry" | "host"> {
  const bare = word.replace(/^https?:\/\//i, "").replace(/\/(v[12]\/?)?$/, "");
  return parseHost(
    bare,
    (why) =>
      new ThawError("usage", `${word} is not HOST[:PORT] of a registry: ${why}`, {
        hint: "for instance ghcr.io",
      }),
  );
}

/** A registry as credentials and policies name it. @param registry `HOST[:PORT]` in any case */
export function canonicalRegistry(registry: string): string {
  const name = registry.toLowerCase().replace(/:443$/, "");
  return dockerHubNames.has(name) ? dockerHub.name : name;
}

function parseHost(word: string, no: (why: string) => ThawError): Pick<RegistryName, "registry" | "host"> {
  const [, name = "", port] = /^(.*?)(?::([^:\]]*))?$/.exec(word.toLowerCase()) ?? [];
  if (!hostPattern.test(name)) throw no(`${JSON.stringify(name)} is not a name of a host`);
  if (port !== undefined && !(/^[0-9]{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= maxPort))
    throw no(`${port === "" ? "an empty port" : port} is not a port, 1 to ${maxPort}`);
  const host = port === undefined ? name : `${name}:${Number(port)}`;
  const registry = canonicalRegistry(host);
  return { registry, host: registry === dockerHub.name ? dockerHub.host : host };
}

/** Whether a registry is this host's own: it is spoken to in plain HTTP. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host);
}
