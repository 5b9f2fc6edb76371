/** Debian's order of versions, as `dpkg --compare-versions` has it (deb-version(7)). Pure. */

/** Negative: `a` is older than `b`; 0: they are equal, as `1.0` and `0:1.00` are. */
export function compareVersions(a: string, b: string): number {
  const [one, other] = [split(a), split(b)];
  return (
    compareNumbers(one.epoch, other.epoch) ||
    compareParts(one.upstream, other.upstream) ||
    compareParts(one.revision, other.revision)
  );
}

function split(version: string): { epoch: string; upstream: string; revision: string } {
  const colon = version.indexOf(":");
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? "" : version.slice(0, colon),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? "" : rest.slice(dash + 1),
  };
}

/** A text that is no digits is compared with another by characters, then the digits after it as a number, and so on. */
function compareParts(a: string, b: string): number {
  const [ours, theirs] = [a.matchAll(/(\D*)(\d*)/g), b.matchAll(/(\D*)(\d*)/g)];
  for (;;) {
    const [one, other] = [ours.next().value, theirs.next().value];
    if (one === undefined && other === undefined) return 0;
    const [, text = "", digits = ""] = one ?? [];
    const [, otherText = "", otherDigits = ""] = other ?? [];
    const order = compareTexts(text, otherText) || compareNumbers(digits, otherDigits);
    if (order !== 0) return order;
  }
}

/** `~` is before the end, which is before letters, which are before all others. */
function compareTexts(a: string, b: string): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const order = weight(a[at]) - weight(b[at]);
    if (order !== 0) return order;
  }
  return 0;
}

function weight(character: string | undefined): number {
  if (character === undefined) return 0;
  if (character === "~") return -1;
  const code = character.charCodeAt(0);
  return /[A-Za-z]/.test(character) ? code : code + 256;
}

/** Of any length: they may be dates and hashes. */
function compareNumbers(a: string, b: string): number {
  const [one, other] = [a.replace(/^0+/, ""), b.replace(/^0+/, "")];
  if (one.length !== other.length) return one.length - other.length;
  return one === other ? 0 : one < other ? -1 : 1;
}
