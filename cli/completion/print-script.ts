import { printJson, writeOut } from "../output.ts";
import { completionScripts } from "./scripts.ts";

/** `thaw completion`: prints a shell's script. */
export function printScript(shell: keyof typeof completionScripts, flags: { json?: boolean }): void {
  if (flags.json === true) printJson(completionScripts[shell]);
  else writeOut(completionScripts[shell]);
}
