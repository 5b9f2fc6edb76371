import { cutTo } from "../format/width.ts";

const ESC = "\u001b[";
const CLEAR_SCREEN = `${ESC}H${ESC}2J`;
const CLEAR_BELOW = `${ESC}J`;
const CLEAR_LINE_END = `${ESC}K`;

/**
 * Text drawn over the frame before, cut to the terminal, with the cursor on the line below it. The last column stays empty: what is erased
 * behind a full line takes its last character in some terminals.
 * @param place drawnLines: lines of the frame before; 0 for none; `Infinity`: not known, the screen is cleared
 */
export function drawFrame(
  text: string,
  { columns, rows, drawnLines }: { columns: number; rows: number; drawnLines: number },
): { text: string; lines: number } {
  const all = text.trimEnd().split("\n");
  const room = Math.max(1, rows - 1);
  const shown = all.length <= room ? all : [...all.slice(0, room - 1), `… ${all.length - room + 1} more`];
  const back =
    drawnLines === Number.POSITIVE_INFINITY ? CLEAR_SCREEN : drawnLines > 0 ? `${ESC}${drawnLines}A` : "";
  const lines = shown.map((line) => `\r${cutTo(line, columns - 1)}${CLEAR_LINE_END}\n`);
  return { text: `${back}${lines.join("")}${CLEAR_BELOW}`, lines: shown.length };
}
