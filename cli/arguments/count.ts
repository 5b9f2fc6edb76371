import { InvalidArgumentError } from "commander";

/** Parses a number of CPUs, 1 to 64. */
export function parseCpus(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 64) return count;
  throw new InvalidArgumentError("It is not a number from 1 to 64.");
}

/** Parses a number of copies, 1 to 100. */
export function parseCopies(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 100) return count;
  throw new InvalidArgumentError("It is not a number from 1 to 100.");
}

/** Parses a port, 1 to 65535. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError("A port is a number from 1 to 65535.");
}

/** Parses a number of lines, 0 and more. */
export function parseLines(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It is not a number of lines.");
}
