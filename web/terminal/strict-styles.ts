/**
 * xterm writes colours and sizes into `<style>` elements and `style` attributes. The page's policy (`style-src 'self'`) forbids both. It allows
 * style sheets and declarations that a script makes by the object model, so both are made that way here (docs/decisions/0147). xterm has no option
 * for it: of its own parts, two names are used. A test in Chromium fails when they are others.
 */
import type { Terminal } from "@xterm/xterm";

/** An element in the place of a `<style>`: its text is a sheet of the document until it is removed. */
function standInForStyle(): HTMLElement {
  const sheet = new CSSStyleSheet();
  const element = Document.prototype.createElement.call(document, "span");
  element.hidden = true;
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (css: string) => sheet.replaceSync(css),
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

/** What draws rows: it gives a span colours that are not among the terminal's 256. */
interface RowFactory {
  _addStyle: (element: HTMLElement, style: string) => void;
}

interface Inner {
  _core: { _renderService: { _renderer: { value: { _rowFactory: RowFactory } } } };
}

/** As `terminal.open(parent)`. All of its `<style>` elements are made meanwhile. */
export function openStyled(terminal: Terminal, parent: HTMLElement): void {
  const createElement = (tag: string): HTMLElement =>
    tag === "style" ? standInForStyle() : Document.prototype.createElement.call(document, tag);
  Object.defineProperty(document, "createElement", { value: createElement, configurable: true });
  try {
    terminal.open(parent);
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
  const { _rowFactory: rows } = (terminal as unknown as Inner)._core._renderService._renderer.value;
  rows._addStyle = ({ style }, declaration) => {
    style.cssText += `${declaration};`;
  };
}
