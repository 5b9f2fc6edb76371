/** `WWW-Authenticate` (RFC 9110, 11.6.1): a list of challenges, each a scheme and parameters whose values may be quoted or not. */

export interface Challenge {
  /** In lower case. */
  scheme: string;
  /** Names in lower case. */
  parameters: Record<string, string>;
}

const MAX_HEADER_LENGTH = 16_384;
const token = String.raw`[!#$%&'*+.^_\`|~0-9A-Za-z-]+`;
const PARAMETER = new RegExp(
  String.raw`^(${token})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|(${token}))[ \t]*(?=,|$)`,
);
/** A scheme; behind it a space, a comma or the end. */
const scheme = new RegExp(String.raw`^(${token})(?:[ \t]+|(?=,)|$)`);
const TOKEN68 = /^[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/;

/** What can't be read ends the list. @param header as undici gives it, several lines as an array */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const text = (Array.isArray(header) ? header.join(", ") : (header ?? "")).slice(0, MAX_HEADER_LENGTH);
  const challenges: Challenge[] = [];
  for (let rest = text; rest !== ""; ) {
    rest = rest.replace(/^[ \t,]+/, "");
    const pair = PARAMETER.exec(rest);
    const current = challenges.at(-1);
    if (pair !== null && current !== undefined) {
      const [whole, name = "", quoted, plain = ""] = pair;
      current.parameters[name.toLowerCase()] ??= quoted?.replace(/\\(.)/g, "$1") ?? plain;
      rest = rest.slice(whole.length);
      continue;
    }
    const found = scheme.exec(rest);
    if (found === null) return challenges;
    rest = rest.slice(found[0].length);
    challenges.push({ scheme: (found[1] ?? "").toLowerCase(), parameters: {} });
    if (PARAMETER.test(rest)) continue;
    rest = rest.replace(TOKEN68, "");
  }
  return challenges;
}
