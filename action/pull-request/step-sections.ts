/** The parts of the comment that tell of failed steps: one for each, known by a hidden line, so that jobs take nothing of each other's away. */
import { createHash } from "node:crypto";
import type { CiContext } from "../../client/index.ts";
import { escapeMarkdown, inlineCode } from "../markdown.ts";
import { link } from "./link.ts";

export interface StepFailure {
  /** For people: what ran, in which job. Any text. */
  step: string;
  job: string | undefined;
  /** `exit 1 after 41 s`. */
  ending: string;
  sha: string;
  replayCommand: string;
  runUrl: string | undefined;
}

/** GitHub takes 65,536 characters; the newest count. */
const MAX_SECTIONS = 20;
const MAX_SECTION_CHARS = 2_000;
const END = "<!-- /thaw step -->";
const SECTION = /<!-- thaw step ([0-9a-f]{16}) -->\n([\s\S]*?)<!-- \/thaw step -->\n/g;

/** The same from run to run: workflow, job, matrix and step. */
export function keyOfStep({ workflow, job, matrix, step }: Partial<CiContext> = {}): string {
  return createHash("sha256")
    .update(JSON.stringify([workflow, job, matrix, step]))
    .digest("hex")
    .slice(0, 16);
}

/** One section's text. */
export function describeFailure({ step, job, ending, sha, replayCommand, runUrl }: StepFailure): string {
  const run = runUrl === undefined ? undefined : link("run", runUrl);
  const where = [
    `commit ${inlineCode(sha.slice(0, 7))}`,
    ...(job ? [`job ${escapeMarkdown(job.slice(0, 200))}`] : []),
  ];
  const lines = [
    `### ✗ ${escapeMarkdown(step.slice(0, 200))} · ${escapeMarkdown(ending.slice(0, 300))}`,
    [...where, ...(run === undefined ? [] : [run])].join(" · "),
    `**Open the failure:** ${inlineCode(replayCommand)} · in a checkout of the branch: \`thaw open\``,
  ];
  // No text of ours has it, and a command's may.
  return `${lines.join("\n\n").replaceAll("<!--", "").slice(0, MAX_SECTION_CHARS)}\n`;
}

/** A comment's sections by their keys, oldest first, and what else is in it. */
export function readSections(body = ""): { rest: string; sections: Map<string, string> } {
  const text = body.replaceAll("\r\n", "\n");
  const found = [...text.matchAll(SECTION)].map(([, key = "", section = ""]): [string, string] => [
    key,
    section,
  ]);
  return {
    rest: text.replaceAll(SECTION, "").trimEnd().concat("\n").replace(/^\n$/, ""),
    sections: new Map(found),
  };
}

export function formatSections(sections: ReadonlyMap<string, string>): string {
  return [...sections]
    .slice(-MAX_SECTIONS)
    .map(([key, section]) => `\n<!-- thaw step ${key} -->\n${section}${END}\n`)
    .join("");
}
