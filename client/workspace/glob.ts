/** Patterns of git's wildmatch, over bytes: each character of a string is one byte (latin1). Matching takes time ∝ pattern × text at most. */

/** A step of a pattern. Numbers of a `set` are 1 for bytes that it takes. */
type Step =
  | { kind: "set"; bytes: Uint8Array }
  /** Any number of bytes; `/` among them when `slash`. */
  | { kind: "star"; slash: boolean }
  /** Nothing, or what ends with `/`: two steps, the second of which takes bytes. */
  | { kind: "folders" }
  | { kind: "folders-inner" };

const SLASH = 0x2f;

function isUpper(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

/** Lower case, ASCII only, as git folds. */
export function foldCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

const classes: Record<string, RegExp> = {
  alnum: /[A-Za-z0-9]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  cntrl: /[^ -~\x80-\xff]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t-\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/** Reads `[…]` from its `[` on. @returns the bytes it takes and where it ends; undefined when it is malformed: such a pattern matches nothing. */
function readSet(
  pattern: string,
  start: number,
  fold: boolean,
): { bytes: Uint8Array; end: number } | undefined {
  const bytes = new Uint8Array(256);
  const code = (at: number): number => pattern.charCodeAt(at);
  let at = start + 1;
  const negated = pattern[at] === "!" || pattern[at] === "^";
  if (negated) at++;
  let previous = -1;
  for (let first = true; ; first = false) {
    if (at >= pattern.length) return undefined;
    if (pattern[at] === "]" && !first) break;
    if (pattern[at] === "\\") {
      if (++at >= pattern.length) return undefined;
      bytes[code(at)] = 1;
      previous = code(at++);
    } else if (pattern[at] === "-" && previous >= 0 && at + 1 < pattern.length && pattern[at + 1] !== "]") {
      if (pattern[++at] === "\\" && ++at >= pattern.length) return undefined;
      for (let byte = previous; byte <= code(at); byte++) {
        bytes[byte] = 1;
        if (fold && isUpper(byte)) bytes[byte + 32] = 1;
      }
      previous = -1;
      at++;
    } else if (pattern[at] === "[" && pattern[at + 1] === ":") {
      const close = pattern.indexOf("]", at + 2);
      if (close < 0) return undefined;
      if (close === at + 2 || pattern[close - 1] !== ":") {
        bytes[0x5b] = 1;
        previous = code(at++);
        continue;
      }
      const name = pattern.slice(at + 2, close - 1);
      const members = classes[fold && name === "upper" ? "alpha" : name];
      if (members === undefined) return undefined;
      for (let byte = 0; byte < 256; byte++) if (members.test(String.fromCharCode(byte))) bytes[byte] = 1;
      previous = -1;
      at = close + 1;
    } else {
      bytes[code(at)] = 1;
      previous = code(at++);
    }
  }
  if (negated) for (let byte = 0; byte < 256; byte++) bytes[byte] = bytes[byte] === 1 ? 0 : 1;
  return { bytes, end: at + 1 };
}

function single(byte: number): Step {
  const bytes = new Uint8Array(256);
  bytes[byte] = 1;
  return { kind: "set", bytes };
}

/** @returns the steps of a pattern; undefined when it can match nothing. */
function readSteps(pattern: string, options: { pathname: boolean; fold: boolean }): Step[] | undefined {
  const { pathname, fold } = options;
  const steps: Step[] = [];
  // git compares what comes before the first special character apart, and what follows begins anew
  const start = pattern.search(/[*?[\\]/);
  for (let at = 0; at < pattern.length; ) {
    const byte = pattern.charCodeAt(at);
    if (byte === 0x2a) {
      let end = at;
      while (pattern[end] === "*") end++;
      const opens = at === start || pattern[at - 1] === "/";
      const closes = end === pattern.length || pattern[end] === "/" || pattern.startsWith("\\/", end);
      const wide = !pathname || (end - at > 1 && opens && closes);
      if (wide && pathname && pattern[end] === "/") {
        steps.push({ kind: "folders" }, { kind: "folders-inner" });
        end++;
      } else steps.push({ kind: "star", slash: wide });
      at = end;
    } else if (byte === 0x3f) {
      const bytes = new Uint8Array(256).fill(1);
      if (pathname) bytes[SLASH] = 0;
      steps.push({ kind: "set", bytes });
      at++;
    } else if (byte === 0x5b) {
      const set = readSet(pattern, at, fold);
      if (set === undefined) return undefined;
      if (pathname) set.bytes[SLASH] = 0;
      steps.push({ kind: "set", bytes: set.bytes });
      at = set.end;
    } else {
      const escaped = byte === 0x5c ? at + 1 : at;
      if (escaped >= pattern.length) return undefined;
      const literal = pattern.charCodeAt(escaped);
      // an escaped letter is not folded by git: it then matches small letters only
      steps.push(single(fold && escaped === at && isUpper(literal) ? literal + 32 : literal));
      at = escaped + 1;
    }
  }
  return steps;
}

/** Marks `state` and the states that are reached from it without a byte. */
function mark(states: Uint8Array, steps: readonly Step[], state: number): void {
  for (let at = state; states[at] === 0; ) {
    states[at] = 1;
    const step = steps[at];
    if (step?.kind === "folders") {
      states[at + 1] = 1;
      at += 2;
    } else if (step?.kind === "star") at += 1;
    else return;
  }
}

function runSteps(steps: readonly Step[], text: string): boolean {
  let states = new Uint8Array(steps.length + 1);
  mark(states, steps, 0);
  for (let index = 0; index < text.length; index++) {
    const byte = text.charCodeAt(index);
    const next = new Uint8Array(steps.length + 1);
    let alive = false;
    for (let at = 0; at < steps.length; at++) {
      if (states[at] === 0) continue;
      const step = steps[at] as Step;
      if (step.kind === "set" && step.bytes[byte] === 1) mark(next, steps, at + 1);
      else if (step.kind === "star" && (step.slash || byte !== SLASH)) mark(next, steps, at);
      else if (step.kind === "folders-inner") {
        next[at] = 1;
        if (byte === SLASH) mark(next, steps, at + 1);
      } else continue;
      alive = true;
    }
    if (!alive) return false;
    states = next;
  }
  return states[steps.length] === 1;
}

/**
 * Compiles a pattern.
 * @param options pathname: `*`, `?` and sets don't take `/`, `**` between slashes does. fold: without regard to ASCII case.
 */
export function compileGlob(
  pattern: string,
  options: { pathname: boolean; fold: boolean },
): (text: string) => boolean {
  const fold = options.fold ? foldCase : (text: string) => text;
  if (!/[*?[\\]/.test(pattern)) {
    const literal = fold(pattern);
    return (text) => fold(text) === literal;
  }
  if (!options.pathname && /^\*[^*?[\\]*$/.test(pattern)) {
    const end = fold(pattern.slice(1));
    return (text) => fold(text).endsWith(end);
  }
  const steps = readSteps(pattern, options);
  if (steps === undefined) return () => false;
  return (text) => runSteps(steps, fold(text));
}
