import { cleanText } from "../format/clean-text.ts";

/** Asks the terminal to put a text on the clipboard (OSC 52): it works over ssh, and in tmux where `set-clipboard` is on. */
export function copyToClipboard(text: string): void {
  // a pasted text must not press keys where it lands
  const clean = text.split("\n").map(cleanText).join("\n");
  process.stdout.write(`\x1b]52;c;${Buffer.from(clean).toString("base64")}\x07`);
}
