/** Command lines of thaw as people type them, and as processes get them. */
import { ThawError } from "../../client/index.ts";
import { quoteWord } from "../format/ending.ts";

/** The words of a line as a shell splits it: quotes and backslashes, nothing else. @throws ThawError `usage` */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const letter = line[at] ?? "";
    if (quote === "" && /\s/.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (letter === "\\" && quote !== "'") {
      at += 1;
      word = (word ?? "") + (line[at] ?? "");
    } else if (quote === "" ? letter === '"' || letter === "'" : letter === quote) {
      quote = quote === "" ? letter : "";
      word ??= "";
    } else word = (word ?? "") + letter;
  }
  if (quote !== "") throw new ThawError("usage", `a closing ${quote} is missing`);
  if (word !== undefined) words.push(word);
  return words;
}

/** The command that does the same in a shell. @param current the context that a command without `--context` works on */
export function formatArgs(args: readonly string[], context: string, current: string): string {
  const where = context === current ? [] : ["--context", context];
  return ["thaw", ...where, ...args].map(quoteWord).join(" ");
}
