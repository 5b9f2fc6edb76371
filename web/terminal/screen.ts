/** xterm, as the page uses it. Loaded with the first terminal. What a guest writes changes nothing outside of it. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { coloursOf, watchColours } from "./colours.ts";
import { linkHandlers } from "./links.ts";
import { parseAtOnce } from "./parse-at-once.ts";
import { openStyled } from "./strict-styles.ts";
import { takeTurns } from "./turn.ts";

const SCROLLBACK_LINES = 10_000;

export interface ScreenOptions {
  element: HTMLElement;
  screenReader: boolean;
  /** A guest that is no terminal ends its lines by \n alone. */
  convertEol: boolean;
  onInput: (bytes: Uint8Array) => void;
  onResize: (size: { rows: number; cols: number }) => void;
  /** Somebody wants to search. */
  onSearch: () => void;
  /** Somebody wants to leave the terminal by the keyboard. */
  onLeave: () => void;
  /** Which match of how many; undefined: none is searched for. */
  onFound: (found: { index: number; count: number } | undefined) => void;
  /** Where the link below the pointer leads. */
  onHover: (url: string | undefined) => void;
}

export class Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #search = new SearchAddon();
  readonly #options: ScreenOptions;
  readonly #encoder = new TextEncoder();
  readonly #end: (() => void)[] = [];
  /** Bytes that were parsed. */
  parsed = 0;

  constructor(options: ScreenOptions) {
    this.#options = options;
    const { element } = options;
    const { fontFamily, fontSize } = getComputedStyle(element);
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#terminal = new Terminal({
      allowProposedApi: true,
      fontFamily,
      fontSize: Number.parseFloat(fontSize) || 13,
      scrollback: SCROLLBACK_LINES,
      cursorBlink: !isStill,
      screenReaderMode: options.screenReader,
      convertEol: options.convertEol,
      theme: coloursOf(element),
      minimumContrastRatio: 4.5,
      // A guest asks for the window's title, size or place, or changes it: no.
      windowOptions: {},
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.loadAddon(this.#search);
    openStyled(this.#terminal, element);
    this.#listen();
    this.fit();
  }

  get size(): { rows: number; cols: number } {
    const { rows, cols } = this.#terminal;
    return { rows, cols };
  }

  /** Takes a chunk of output. @returns a promise when the writer has to wait for it */
  write(chunk: Uint8Array): void | Promise<void> {
    parseAtOnce(this.#terminal);
    this.#terminal.write(chunk);
    this.parsed += chunk.length;
    return takeTurns();
  }

  /** Makes it as large as its element. */
  fit(): void {
    const { offsetWidth, offsetHeight } = this.#options.element;
    // One that is not shown keeps its size.
    if (offsetWidth > 0 && offsetHeight > 0) this.#fit.fit();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** Nothing can be typed any more. */
  end(): void {
    this.#terminal.options.disableStdin = true;
    this.#terminal.options.cursorBlink = false;
  }

  set screenReader(on: boolean) {
    this.#terminal.options.screenReaderMode = on;
  }

  set convertEol(on: boolean) {
    this.#terminal.options.convertEol = on;
  }

  /** Looks for a text, from the match before on. */
  search(text: string, direction: "next" | "previous" | "here"): void {
    if (text === "") {
      this.#search.clearDecorations();
      this.#terminal.clearSelection();
      this.#options.onFound(undefined);
      return;
    }
    const decorations = {
      ...{ matchBackground: "#8a5300", activeMatchBackground: "#0f6674" },
      ...{ matchOverviewRuler: "#8a5300", activeMatchColorOverviewRuler: "#0f6674" },
    };
    if (direction === "previous") this.#search.findPrevious(text, { decorations });
    else this.#search.findNext(text, { decorations, incremental: direction === "here" });
  }

  dispose(): void {
    for (const end of this.#end) end();
    this.#terminal.dispose();
  }

  #listen(): void {
    const terminal = this.#terminal;
    const { element, onInput, onResize, onFound, onHover } = this.#options;
    terminal.onData((text) => onInput(this.#encoder.encode(text)));
    // Reports of the mouse in an old format: each character is a byte.
    terminal.onBinary((text) => onInput(Uint8Array.from(text, (char) => char.charCodeAt(0) & 0xff)));
    terminal.onResize(onResize);
    terminal.attachCustomKeyEventHandler((event) => this.#passesOn(event));
    this.#search.onDidChangeResults(({ resultIndex, resultCount }) =>
      onFound({ index: resultIndex, count: resultCount }),
    );
    const { provider, handler } = linkHandlers(terminal, onHover);
    terminal.registerLinkProvider(provider);
    terminal.options.linkHandler = handler;
    const observer = new ResizeObserver(() => this.fit());
    observer.observe(element);
    element.addEventListener("paste", this.#paste, true);
    const endWatch = watchColours(() => {
      terminal.options.theme = coloursOf(element);
    });
    this.#end.push(endWatch, () => observer.disconnect());
  }

  /** What is pasted can't end the brackets that it is put between. */
  readonly #paste = (event: ClipboardEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    this.#terminal.paste(text.replaceAll("\x1b", ""));
  };

  /** Whether a key is for the guest. */
  #passesOn(event: KeyboardEvent): boolean {
    const { type, code, ctrlKey, metaKey, shiftKey } = event;
    const act = (work: () => void): false => {
      event.preventDefault();
      if (type === "keydown") work();
      return false;
    };
    if ((ctrlKey || metaKey) && !shiftKey && code === "KeyF") return act(this.#options.onSearch);
    if (ctrlKey && shiftKey && code === "KeyC") return act(() => this.#copy());
    // The browser pastes.
    if (ctrlKey && shiftKey && code === "KeyV") return false;
    if (shiftKey && event.key === "Escape") return act(this.#options.onLeave);
    return true;
  }

  /** Pages without https have no clipboard of their own, but may copy what is selected. */
  #copy(): void {
    const text = this.#terminal.getSelection();
    if (text === "") return;
    if (navigator.clipboard !== undefined) navigator.clipboard.writeText(text).catch(() => {});
    else document.execCommand("copy");
  }
}
