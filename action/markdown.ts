/** Text of a guest, or of whoever wrote a workflow, in Markdown: shown as it is, and never a tag, a link, an image or a mention. */
import { stripVTControlCharacters } from "node:util";

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Makes text harmless in HTML, and one that GitHub's Markdown leaves alone. */
export function escapeHtml(text: string): string {
  return stripControls(text).replace(/[&<>"']/g, (character) => entities[character] ?? "");
}

/** Text in a line of Markdown. Each character that Markdown, or GitHub's own additions to it, has a use for becomes an entity. */
export function escapeMarkdown(text: string): string {
  return stripControls(text)
    .replaceAll(/[\r\n\t]+/g, " ")
    .replace(/[!-/:-@[-`{-~]/g, (character) =>
      /[ ,.\-/();?%='+]/.test(character) ? character : `&#${character.charCodeAt(0)};`,
    )
    .replaceAll(/(https?|www)(?=[.&])/gi, "$1&#8203;");
}

/** Code in a line: between more backticks than it has in a row. */
export function inlineCode(text: string): string {
  const line = stripControls(text).replaceAll(/[\r\n\t]+/g, " ");
  const fence = "`".repeat(longestRun(line) + 1);
  const pad = /^`|`$|^ .* $/.test(line) ? " " : "";
  return `${fence}${pad}${line}${pad}${fence}`;
}

function longestRun(text: string): number {
  return [...text.matchAll(/`+/g)].reduce((most, [run]) => Math.max(most, run.length), 0);
}

/** Lines as they are, in a block that nothing in them can end: its fence is longer than any run of backticks. */
export function codeBlock(lines: readonly string[]): string {
  const text = stripControls(lines.join("\n"));
  const fence = "`".repeat(Math.max(2, longestRun(text)) + 1);
  return `${fence}text\n${text}\n${fence}`;
}

/** Without control characters, colours, and what turns the direction of text. Newlines and tabs stay. */
function stripControls(text: string): string {
  return stripVTControlCharacters(text).replace(/(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu, "");
}
