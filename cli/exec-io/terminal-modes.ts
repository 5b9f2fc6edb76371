/** Modes that a program switches on for itself, and that would puzzle whoever uses the terminal next. */
const SWITCHED_OFF = new Set([
  1, 9, 47, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049, 2004,
]);
/** Those that are on at first. */
const SWITCHED_ON = new Set([7, 25]);
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in these
const SEQUENCE = /\x1b\[\?([\d;]{1,40})([hl])|\x1b[=>c]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in these
const UNFINISHED = /\x1b(?:\[(?:\?[\d;]{0,40})?)?$/;

/** Notes the modes a guest's programs set, so that they can be undone when we leave in the middle. */
export class TerminalModes {
  readonly #changed = new Map<number, "h" | "l">();
  #keypad = false;
  #rest = "";

  /** Takes note of output that goes to the terminal. */
  note(chunk: Buffer): void {
    if (this.#rest === "" && !chunk.includes(0x1b)) return;
    const text = this.#rest + chunk.toString("latin1");
    this.#rest = UNFINISHED.exec(text)?.[0] ?? "";
    for (const [whole, modes, final] of text.matchAll(SEQUENCE)) {
      if (whole === "\x1bc") this.#changed.clear();
      if (modes === undefined) this.#keypad = whole === "\x1b=";
      else for (const mode of modes.split(";")) this.#set(Number(mode), final === "h");
    }
  }

  /** What puts the terminal back; empty when nothing was changed. */
  undo(): string {
    const modes = [...this.#changed].map(([mode, final]) => `\x1b[?${mode}${final}`);
    if (this.#keypad) modes.push("\x1b>");
    this.#changed.clear();
    this.#keypad = false;
    return modes.length === 0 ? "" : `${modes.join("")}\x1b[0m`;
  }

  #set(mode: number, on: boolean): void {
    const normal = SWITCHED_ON.has(mode);
    if (!normal && !SWITCHED_OFF.has(mode)) return;
    if (on === normal) this.#changed.delete(mode);
    else this.#changed.set(mode, on ? "l" : "h");
  }
}
