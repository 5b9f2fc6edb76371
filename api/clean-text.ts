/** Makes text that may be a guest's harmless in a terminal: control characters, and those that turn the direction of text, are dropped. */
export function cleanText(text: string): string {
  return text.replaceAll("\t", " ").replace(/[\p{Cc}\p{Bidi_Control}]/gu, "");
}

/**
 * ECMA-48: control sequences (CSI), strings (OSC, DCS, SOS, PM, APC) up to their end or the text's, and escape sequences. xterm ends a
 * string by BEL too. Not those that begin with a C1 character: in text that was decoded wrongly these are parts of letters.
 */
const sequence =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
  /\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;

/** Leaves a guest's control sequences (colours, titles, links) out whole, where `cleanText` would drop only their first byte. */
export function stripSequences(text: string): string {
  return text.replace(sequence, "");
}
