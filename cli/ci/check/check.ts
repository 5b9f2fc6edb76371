import { nameFile } from "../../../client/index.ts";
import { cleanText } from "../../format/clean-text.ts";
import { printJson, styleOut, writeOut } from "../../output.ts";
import { findFiles, type WorkflowFile } from "./files.ts";
import type { Finding } from "./finding.ts";
import { type Input, judge } from "./judge.ts";
import { readSource } from "./source.ts";

const MAX_SHOWN = 300;

/** A stranger's text, harmless and on one line. */
function oneLine(text: string): string {
  const clean = cleanText(text.replaceAll(/\s+/g, " "));
  return clean.length <= MAX_SHOWN ? clean : `${clean.slice(0, MAX_SHOWN)}…`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function print({ rule, file, line, column, message, repair }: Finding): void {
  const place = `${oneLine(file)}:${line}:${column}:`;
  writeOut(`${place} ${styleOut("red", rule)}: ${oneLine(message)}\n`);
  writeOut(`  ${styleOut("dim", `repair: ${oneLine(repair)}`)}\n`);
}

async function readInput({ path, inRepository, isNamed }: WorkflowFile): Promise<Input> {
  return { file: nameFile(path), path: inRepository, source: await readSource(path, isNamed) };
}

/** `thaw ci check`. @returns the exit code: 1 with findings. @throws ThawError `usage` when there is nothing to check. */
export async function check(paths: readonly string[], flags: { json?: boolean }): Promise<number> {
  const inputs: Input[] = [];
  for (const file of findFiles(paths)) inputs.push(await readInput(file));
  const { findings, allowed } = judge(inputs);
  const code = findings.length === 0 ? 0 : 1;
  if (flags.json === true) {
    printJson({ files: inputs.map(({ file }) => file), findings, allowed });
    return code;
  }
  for (const finding of findings) print(finding);
  const files = count(inputs.length, "file");
  const also = allowed === 0 ? "" : `; ${allowed} allowed by comments`;
  writeOut(
    findings.length === 0
      ? `${files}: nothing unsafe found${also}\n`
      : `${count(findings.length, "finding")} in ${files}${also}\n`,
  );
  return code;
}
