/** Frames of a terminal as an animated picture. */

const CELL = { width: 8.4, height: 18 };
const PADDING = 14;

/** What the dashboard's colours are in the picture. Keys are SGR parameters. */
const colours: Readonly<Record<string, string>> = {
  "1": "b",
  "2": "d",
  "31": "r",
  "32": "g",
  "33": "y",
  "36": "c",
};
const css = `text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d8dee9}
.b{font-weight:bold;fill:#fff}.d{fill:#7d8799}.r{fill:#f07178}.g{fill:#a5d67a}.y{fill:#e8c268}.c{fill:#6cc7e0}`;

interface Run {
  column: number;
  text: string;
  tone: string | undefined;
}

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** The pieces of a line, each of one colour. Each character counts as one column. */
function runsOf(line: string): Run[] {
  const runs: Run[] = [];
  let column = 0;
  let tone: string | undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
  for (const part of line.split(/(\x1b\[[\d;]*m)/)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
    const code = /^\x1b\[(\d+)/.exec(part)?.[1];
    if (code !== undefined) tone = colours[code];
    // not every viewer keeps spaces
    else
      for (const text of part.split(/(^ +| {2,}| $)/)) {
        if (text.trim() !== "") runs.push({ column, text, tone });
        column += [...text].length;
      }
  }
  return runs;
}

/** @param frames of one size, each shown for `secondsEach`; lines have no other sequences than colours */
export function drawSvg(
  frames: readonly { lines: readonly string[] }[],
  { cols, rows, secondsEach }: { cols: number; rows: number; secondsEach: number },
): string {
  const [width, height] = [cols * CELL.width + 2 * PADDING, rows * CELL.height + 2 * PADDING];
  const total = frames.length * secondsEach;
  const share = Number((100 / frames.length).toFixed(3));
  const groups = frames.map(({ lines }, index) => {
    const texts = lines.flatMap((line, row) =>
      runsOf(line).map(({ column, text, tone }) => {
        const x = Number((PADDING + column * CELL.width).toFixed(1));
        const y = PADDING + (row + 1) * CELL.height - 5;
        return `<text x="${x}" y="${y}"${tone === undefined ? "" : ` class="${tone}"`}>${escapeXml(text)}</text>`;
      }),
    );
    return `<g class="f" style="animation-delay:${index * secondsEach}s">\n${texts.join("\n")}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">The dashboard of thaw</title>
<style>
${css}
.f{opacity:0;animation:f ${total}s infinite step-end}.f:first-of-type{opacity:1}
@keyframes f{0%{opacity:1}${share}%{opacity:0}100%{opacity:0}}
@media(prefers-reduced-motion:reduce){.f{animation:none}}
</style>
<rect width="${width}" height="${height}" rx="8" fill="#16181d"/>
${groups.join("\n")}
</svg>
`;
}
