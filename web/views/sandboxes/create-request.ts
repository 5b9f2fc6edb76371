/** What the form of a new sandbox asks for: as a request, and as the command that does the same. */
import { parseDuration } from "../../../api/duration.ts";
import { SANDBOX_NAME_PHRASE, sandboxNamePattern } from "../../../api/patterns.ts";
import type { CreateRequest } from "../../../api/schema.ts";
import { parseMemory } from "../../../api/size.ts";

export interface CreateFields {
  /** `template NAME` or `snapshot TAG`. */
  source: string;
  name: string;
  cpus: string;
  memory: string;
  ttl: string;
  idle: string;
  network: string;
  /** Rules, apart by blanks. */
  allow: string;
  /** `KEY=VALUE`, apart by blanks. */
  labels: string;
}

export const EMPTY: CreateFields = {
  ...{ source: "template base", name: "", cpus: "", memory: "", ttl: "", idle: "", network: "", allow: "" },
  labels: "",
};

export interface ReadFields {
  request: CreateRequest;
  /** The words behind `thaw`. */
  args: readonly string[];
  mistakes: Partial<Record<keyof CreateFields, string>>;
}

export const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

function readCpus(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 64) throw new RangeError("A number from 1 to 64.");
  return count;
}

function readName(text: string): string {
  if (!sandboxNamePattern.test(text)) throw new RangeError(`A name has ${SANDBOX_NAME_PHRASE}.`);
  return text;
}

function readLabels(text: string): Record<string, string> {
  return Object.fromEntries(
    wordsOf(text).map((word): [string, string] => {
      const at = word.indexOf("=");
      if (at < 1) throw new RangeError("Labels are KEY=VALUE.");
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

export function readFields(fields: CreateFields): ReadFields {
  const mistakes: ReadFields["mistakes"] = {};
  const args: string[] = ["create"];
  /** A field that was filled in; undefined: it was not, or has a mistake. */
  const read = <T>(name: keyof CreateFields, flag: string, parse: (text: string) => T): T | undefined => {
    const text = fields[name].trim();
    if (text === "") return undefined;
    try {
      const value = parse(text);
      if (name === "labels" || name === "allow") for (const word of wordsOf(text)) args.push(flag, word);
      else args.push(flag, text);
      return value;
    } catch (error) {
      mistakes[name] = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  };
  const [kind = "template", source = "base"] = fields.source.split(" ");
  if (kind === "snapshot") args.push("--snapshot", source);
  else if (source !== "base") args.push("--template", source);
  const name = read("name", "--name", readName);
  const cpus = read("cpus", "--cpus", readCpus);
  const memoryMib = read("memory", "--memory", parseMemory);
  const ttlMs = read("ttl", "--ttl", parseDuration);
  const idleMs = read("idle", "--idle", parseDuration);
  const mode = read("network", "--network", (text) => text as "none" | "open" | "audit");
  const allow = read("allow", "--allow", wordsOf);
  const labels = read("labels", "--label", readLabels);
  const request: CreateRequest = {
    source: kind === "snapshot" ? { snapshot: source } : { template: source },
  };
  if (name !== undefined) request.name = name;
  if (cpus !== undefined) request.cpus = cpus;
  if (memoryMib !== undefined) request.memoryMib = memoryMib;
  if (ttlMs !== undefined) request.ttlMs = ttlMs;
  if (idleMs !== undefined) request.idleMs = idleMs;
  if (labels !== undefined) request.labels = labels;
  if (mode !== undefined || allow !== undefined)
    request.network = [
      {
        ...(mode === undefined ? {} : { mode }),
        ...(allow === undefined ? {} : { allow }),
        from: "page",
      },
    ];
  return { request, args, mistakes };
}
