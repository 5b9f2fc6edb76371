/** Whether labels fit every selector: `KEY=VALUE`, or `KEY` with any value. */
export function labelsMatch(labels: Readonly<Record<string, string>>, selectors: readonly string[]): boolean {
  return selectors.every((selector) => {
    const at = selector.indexOf("=");
    if (at < 0) return Object.hasOwn(labels, selector);
    const key = selector.slice(0, at);
    return Object.hasOwn(labels, key) && labels[key] === selector.slice(at + 1);
  });
}
