// Node decodes a file with one other character as UTF-8, and keeps two bytes of memory for each. One of ASCII alone is loaded as it is.
import type { Plugin } from "rolldown";

export function asciiOnly(): Plugin {
  return {
    name: "ascii-only",
    generateBundle(_options, output) {
      for (const file of Object.values(output)) if (file.type === "chunk") file.code = toAscii(file.code);
    },
  };
}

/** The same program: such characters are in strings, templates and expressions, where an escape says the same. */
function toAscii(code: string): string {
  if (/String\.raw`[^`]*[^\0-\x7f]/.test(code))
    throw new Error("an escape says something else in String.raw");
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
