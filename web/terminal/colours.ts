import type { ITheme } from "@xterm/xterm";

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;
const LIGHT = ["1b1f23", "b3261e", "1a6e34", "8a5300", "1f5fbf", "8a3ea8", "0f6674", "6b747d"];
const LIGHT_BRIGHT = ["57606a", "d3372d", "238a43", "a66400", "2f74e0", "a34fc4", "137f90", "31373d"];
const DARK = ["3a4047", "ff8a80", "6fd08c", "e8b04a", "7fb0ff", "d79af0", "5cc3d3", "d5d9dd"];
const DARK_BRIGHT = ["7d8790", "ffb0a8", "98e3ae", "f5cb7c", "a8c9ff", "e6bef7", "8edbe7", "ffffff"];

/** The page's own colours, as they are where `element` is, and sixteen that fit them. */
export function coloursOf(element: HTMLElement): ITheme {
  const { color, backgroundColor, accentColor } = getComputedStyle(element);
  const isDark = luminanceOf(backgroundColor) < luminanceOf(color);
  const [plain, bright] = isDark ? [DARK, DARK_BRIGHT] : [LIGHT, LIGHT_BRIGHT];
  const theme: Record<string, string> = {};
  for (const [index, name] of NAMES.entries()) {
    theme[name] = `#${plain[index]}`;
    theme[`bright${name.charAt(0).toUpperCase()}${name.slice(1)}`] = `#${bright[index]}`;
  }
  return {
    ...theme,
    foreground: color,
    background: backgroundColor,
    cursor: accentColor === "auto" ? color : accentColor,
    cursorAccent: backgroundColor,
    selectionBackground: isDark ? "#5cc3d355" : "#0f667444",
    scrollbarSliderBackground: isDark ? "#9aa4ae40" : "#57606a40",
    scrollbarSliderHoverBackground: isDark ? "#9aa4ae80" : "#57606a80",
    scrollbarSliderActiveBackground: isDark ? "#9aa4aea0" : "#57606aa0",
  };
}

/** Of `rgb(r, g, b)`, roughly. */
function luminanceOf(colour: string): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return 0.3 * red + 0.6 * green + 0.1 * blue;
}

/** Calls `work` when the page changes between light and dark. @returns what ends that */
export function watchColours(work: () => void): () => void {
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", work);
  const observer = new MutationObserver(work);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
  return () => {
    query.removeEventListener("change", work);
    observer.disconnect();
  };
}
