/** Names of images in registries: `oci:HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`, the names that stores have. */

export const OCI_PATTERN =
  /^oci:((?:\[[0-9a-f:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]{1,5})?)\/([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/;

export interface ImageReference {
  /** As in the recipe. */
  text: string;
  /** `HOST[:PORT]` */
  registry: string;
  /** `HOST[:PORT]/REPOSITORY` */
  name: string;
  /** `latest` when the recipe names none. */
  tag: string;
  /** More exact than the tag. */
  digest: string | undefined;
  isLoopback: boolean;
}

/** Null for what is not from a registry. */
export function imageReference(text: string): ImageReference | null {
  const [, host, repository, tag = "latest", digest] = OCI_PATTERN.exec(text) ?? [];
  if (host === undefined || repository === undefined) return null;
  const registry = host.toLowerCase();
  const isLoopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(registry);
  return { text, registry, name: `${registry}/${repository}`, tag, digest, isLoopback };
}
