/**
 * xterm writes colours and sizes into `<style>` elements and `style` attributes. The page's policy (`style-src 'self'`) forbids both. It allows
 * style sheets and declarations that a script makes by the object model, so xterm gets a document whose elements do that instead: by its own
 * option `documentOverride`, and for the one element that it makes without that, while it opens.
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

/** Rows set `style` for colours that are not among the terminal's 256. */
function setAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function createElement(tag: string): HTMLElement {
  if (tag === "style") return standInForStyle();
  const element = Document.prototype.createElement.call(document, tag);
  element.setAttribute = setAttribute;
  return element;
}

/** The document for xterm's option `documentOverride`. */
export function styledDocument(): Document {
  return new Proxy(document, {
    get(target, name) {
      if (name === "createElement") return createElement;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Opens a terminal that has {@link styledDocument}. */
export function openStyled(terminal: Terminal, parent: HTMLElement): void {
  Object.defineProperty(document, "createElement", { value: createElement, configurable: true });
  try {
    terminal.open(parent);
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
}
