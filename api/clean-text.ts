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

/** Text that may be a guest's on one line, with the characters that can't be seen, or turn the direction of text, as marks: `␛`, `⟨U+202E⟩`. */
export function visibleText(text: string): string {
  return text.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "␡";
    // joins emoji, and letters of some languages
    if (code === 0x200c || code === 0x200d) return character;
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}
