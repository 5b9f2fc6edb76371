import type { Key } from "./keys.ts";

/** A text that is typed, after a key. @param longest what it may hold, in UTF-16 units */
export function editText(text: string, key: Key, longest: number): string {
  if (key.name === "backspace") return [...text].slice(0, -1).join("");
  if (key.name === "ctrl-u") return "";
  if (key.name === "ctrl-w" || key.name === "alt-backspace") return text.replace(/\S+\s*$/, "");
  return (text + key.text).slice(0, longest);
}
