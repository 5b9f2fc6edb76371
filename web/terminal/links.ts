import type { ILink, ILinkHandler, ILinkProvider, Terminal } from "@xterm/xterm";

const URL_PATTERN = /\bhttps?:\/\/[^\s"'<>`{}|\\^]+/g;
/** Belongs to the sentence and not to the address. */
const SENTENCE_END = /[.,;:!?)\]]+$/;
const LONGEST = 2048;
/** Rows that a wrapped line is looked at for links. */
const MOST_ROWS = 20;

/** The address that a guest's text leads to; undefined: it leads nowhere. */
export function safeUrl(text: string): string | undefined {
  if (text.length > LONGEST) return undefined;
  const url = URL.parse(text);
  return url?.protocol === "https:" || url?.protocol === "http:" ? url.href : undefined;
}

/** Opened by a click only, and told nothing of where it was. */
export function openLink(text: string): void {
  const url = safeUrl(text);
  if (url !== undefined) window.open(url, "_blank", "noopener,noreferrer");
}

/** Addresses in plain text, and those that a guest hides behind other text (OSC 8). `onHover` gets where a link leads. */
export function linkHandlers(
  terminal: Terminal,
  onHover: (url: string | undefined) => void,
): { provider: ILinkProvider; handler: ILinkHandler } {
  const hover = (_event: MouseEvent, text: string): void => onHover(safeUrl(text));
  const leave = (): void => onHover(undefined);
  const activate = (_event: MouseEvent, text: string): void => openLink(text);
  return {
    handler: { activate, hover, leave, allowNonHttpProtocols: false },
    provider: {
      provideLinks(row, callback) {
        const links = findLinks(terminal, row);
        callback(links.map((link) => ({ ...link, activate, hover, leave })));
      },
    },
  };
}

/** @param row as xterm counts: the first is 1 */
function findLinks(terminal: Terminal, row: number): Omit<ILink, "activate">[] {
  const { active } = terminal.buffer;
  let first = row - 1;
  while (active.getLine(first)?.isWrapped === true && row - first < MOST_ROWS) first -= 1;
  let text = "";
  for (let y = first; y < first + MOST_ROWS; y++) {
    const line = active.getLine(y);
    if (line === undefined || (y > first && !line.isWrapped)) break;
    // As many characters as cells, so that an index is a place.
    text += cellsOf(line, terminal.cols);
  }
  const place = (index: number) => ({
    x: (index % terminal.cols) + 1,
    y: first + Math.floor(index / terminal.cols) + 1,
  });
  return [...text.matchAll(URL_PATTERN)].flatMap(({ 0: match, index }) => {
    const url = match.replace(SENTENCE_END, "");
    if (safeUrl(url) === undefined) return [];
    return [{ text: url, range: { start: place(index), end: place(index + url.length - 1) } }];
  });
}

function cellsOf(
  line: { getCell: (x: number) => { getChars: () => string } | undefined },
  cols: number,
): string {
  let text = "";
  for (let x = 0; x < cols; x++) {
    const chars = line.getCell(x)?.getChars() ?? "";
    text += chars.length === 1 ? chars : " ";
  }
  return text;
}
