/** Host names in rules: one spelling, and none that a reader takes for another. */
import { domainToASCII, domainToUnicode } from "node:url";

const MAX_NAME_CHARS = 253;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SCRIPTS = [
  ["Latin", /\p{Script=Latin}/u],
  ["Cyrillic", /\p{Script=Cyrillic}/u],
  ["Greek", /\p{Script=Greek}/u],
  ["Armenian", /\p{Script=Armenian}/u],
  ["Cherokee", /\p{Script=Cherokee}/u],
  ["Hebrew", /\p{Script=Hebrew}/u],
  ["Arabic", /\p{Script=Arabic}/u],
  ["Thai", /\p{Script=Thai}/u],
] as const;
/** Letters that look like Latin ones. Source: Unicode Technical Standard 39, confusables.txt. */
const LOOK_LIKE_LATIN = /^[аеорсухіјѕԁԛԝһӏҽνοαρυικετω0-9-]+$/u;

export type HostName = { name: string } | { mistake: string };

/** @returns the name in lower case and ASCII, without a dot at its end */
export function parseHostName(text: string): HostName {
  const given = text.toLowerCase().replace(/\.$/, "");
  const name = domainToASCII(given);
  const labels = name.split(".");
  const last = labels.at(-1) ?? "";
  if (
    name === "" ||
    name.length > MAX_NAME_CHARS ||
    !labels.every((label) => LABEL.test(label)) ||
    /^\d+$/.test(last)
  )
    return { mistake: `${JSON.stringify(text)} is not a host name` };
  for (const label of domainToUnicode(name).split(".")) {
    const scripts = SCRIPTS.filter(([, letters]) => letters.test(label)).map(([script]) => script);
    if (scripts.length > 1)
      return { mistake: `${JSON.stringify(text)} mixes letters of ${scripts.join(" and ")} (${name})` };
    if (scripts.length === 1 && scripts[0] !== "Latin" && LOOK_LIKE_LATIN.test(label))
      return {
        mistake: `${JSON.stringify(text)} has ${scripts[0]} letters that look like Latin ones (${name})`,
      };
  }
  return { name };
}
