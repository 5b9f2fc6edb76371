export function sandboxPath(sandbox: string, rest = ""): string {
  return `/v1/sandboxes/${encodeURIComponent(sandbox)}${rest}`;
}
