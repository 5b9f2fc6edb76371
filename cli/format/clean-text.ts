/** Makes text that may be a guest's harmless in a terminal: control characters, and those that turn the direction of text, are dropped. */
export function cleanText(text: string): string {
  return text.replaceAll("\t", " ").replace(/[\p{Cc}\p{Bidi_Control}]/gu, "");
}
