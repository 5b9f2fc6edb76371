import type { DiskListing } from "../../client/index.ts";

const letters = { file: "-", dir: "d", symlink: "l", fifo: "p", socket: "s", block: "b", char: "c" } as const;

/** A file's kind and permissions as ls shows them: `-rw-r--r--`. */
export function formatMode({ type, mode }: Pick<DiskListing["entry"], "type" | "mode">): string {
  const bits = [...mode.toString(2).padStart(9, "0").slice(-9)];
  return letters[type] + bits.map((bit, index) => (bit === "1" ? "rwx"[index % 3] : "-")).join("");
}
