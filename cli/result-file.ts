/** `--result-file`: the result apart from stderr, which a guest shares and could forge lines on. */
import { openSync, writeSync } from "node:fs";
import { ThawError } from "../client/index.ts";

let fd: number | undefined;

/** Opens the file, or a descriptor as `/dev/fd/3`, before anything else is done; what it held is gone. @throws ThawError `usage` */
export function openResultFile(path: string): string {
  try {
    fd = openSync(path, "w", 0o600);
  } catch (error) {
    throw new ThawError("usage", `can't write the result to ${path}: ${(error as Error).message}`, {
      hint: "give a file, or /dev/fd/N for an open file descriptor",
      cause: error,
    });
  }
  return path;
}

/** Writes the one line of the result. @returns false without `--result-file` */
export function writeResult(result: { type: "result" | "error"; [field: string]: unknown }): boolean {
  if (fd === undefined) return false;
  const line = Buffer.from(`${JSON.stringify(result)}\n`);
  for (let at = 0; at < line.length; ) at += writeSync(fd, line, at);
  return true;
}
