/** Whether the letters of `wanted` come in `text` in this order; a space starts over. */
export function matches(text: string, wanted: string): boolean {
  return wanted.split(" ").every((word) => {
    let at = -1;
    for (const letter of word) {
      at = text.indexOf(letter, at + 1);
      if (at < 0) return false;
    }
    return true;
  });
}
