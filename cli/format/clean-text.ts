/** Makes text that may be a guest's harmless in a terminal: control characters, and those that turn the direction of text, are dropped. */
export function cleanText(text: string): string {
  return text.replaceAll("\t", " ").replace(/[\p{Cc}\p{Bidi_Control}]/gu, "");
}

/** Leaves a guest's control sequences (colours, titles) out whole, where `cleanText` would drop only their first byte. */
export function stripSequences(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
  return text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g, "");
}
