/** Paths of unix sockets that forwards lead from and to. Pure; loads nothing. */

/** `sun_path` of unix(7), without the zero byte at its end. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** @returns why `path` can't be a forward's; null: it can */
export function socketPathFault(path: string): string | null {
  if (!path.startsWith("/")) return "it is not absolute";
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES)
    return `it has ${bytes} bytes; ${MAX_SOCKET_PATH_BYTES} is the limit of unix sockets`;
  if (/[\p{Cc}\u2028\u2029]/u.test(path)) return "it has control characters";
  if (path.includes(":")) return "it has a colon, which separates the two sides of a forward";
  const parts = path.slice(1).split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".."))
    return "it has empty parts, `.` or `..`";
  return null;
}
