/** Lines with which a guest tries to make the runner obey it. */
import { COMMANDS } from "./commands.ts";

const ESC = "\u001b";

/** Each puts one command of the runner's where it might be found; the line's end is not part of it. */
export const FORMS: Record<string, (command: string) => string> = {
  plain: (name) => `::${name}::x`,
  "with properties": (name) => `::${name} name=a,file=b,line=1::x%0A::error::y`,
  "with an empty name before": (name) => `::::${name}::x`,
  "twice in a line": (name) => `::x::${name}::y::${name}::z`,
  "in upper case": (name) => `::${name.toUpperCase()}::x`,
  "in mixed case": (name) => `::${(name[0] ?? "").toUpperCase()}${name.slice(1)}::x`,
  "with a dotless i and a long s": (name) => `::${name.replaceAll("i", "ı").replaceAll("s", "ſ")}::x`,
  "after blanks": (name) => ` \t \v\f::${name}::x`,
  "after blanks of Unicode": (name) => `\u00a0\u1680\u2003\u202f\u205f\u3000::${name}::x`,
  "after next line and separators": (name) => `\u0085\u2028\u2029::${name}::x`,
  "after a mark of the byte order": (name) => `\ufeff::${name}::x`,
  "after NUL": (name) => `\0::${name}::x`,
  "with NUL inside": (name) => `:\0:${name}:\0:x`,
  "with characters of no width inside": (name) => `:\u200b:\u00ad${name}\u2060::x`,
  "after a return": (name) => `text\r::${name}::x`,
  "after a return and blanks": (name) => `text\r  ::${name}::x`,
  "after many returns": (name) => `\r\r\r::${name}::x`,
  "after a backspace": (name) => `a\b::${name}::x`,
  "after a colour": (name) => `${ESC}[31m::${name}::x${ESC}[0m`,
  "with a colour inside": (name) => `:${ESC}[0m:${name}::x`,
  "with a cleared line inside": (name) => `:${ESC}[2K:${name}:${ESC}[K:x`,
  "after a title": (name) => `${ESC}]0;title\u0007::${name}::x`,
  "after a title without an end": (name) => `${ESC}]0;title::${name}::x`,
  "after a device control string": (name) => `${ESC}Pq${ESC}\\::${name}::x`,
  "with half an escape sequence inside": (name) => `:${ESC}:${name}::x`,
  "with C1 controls": (name) => `\u009b0m:\u009c:${name}::x`,
  "old syntax": (name) => `##[${name}]x`,
  "old syntax in the middle": (name) => `foo ##[${name}]bar`,
  "old syntax with properties": (name) => `##[${name} name=a;file=b]x`,
  "old syntax in upper case": (name) => `foo ##[${name.toUpperCase()}]x`,
  "old syntax twice": (name) => `##[x]##[${name}]##[${name}]`,
  "old syntax with characters of no width": (name) => `#\u200b#\u00ad[${name}]x`,
  "old syntax with a cleared line inside": (name) => `#${ESC}[2K#${ESC}[2K[${name}]x`,
  "old syntax with NUL inside": (name) => `#\0#\0[${name}]x`,
  "more than two signs": (name) => `####[${name}]x`,
  "both syntaxes": (name) => `::x ##[${name}]::${name}::y`,
  "with an override of direction": (name) => `\u202e::${name}::x`,
};

/** Those, and one that only a runner's own plugins may give. */
const NAMES = [...COMMANDS, "internal-set-repo-path"];

/** Every command in every form, and bytes that are no text. */
export function hostileLines(): Buffer[] {
  const lines = Object.values(FORMS).flatMap((form) => NAMES.map((name) => Buffer.from(form(name))));
  const raw = [
    Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("::error::x", "utf16le")]),
    Buffer.concat([Buffer.from(":"), Buffer.from([0xff]), Buffer.from(":error::x")]),
    Buffer.concat([Buffer.from("#"), Buffer.from([0xc0, 0xa3]), Buffer.from("[error]x")]),
    // Overlong colons.
    Buffer.concat([Buffer.from([0xc0, 0xba, 0xc0, 0xba]), Buffer.from("error::x")]),
    Buffer.concat([Buffer.from([0xe2, 0x80]), Buffer.from("::error::x")]),
  ];
  return [...lines, ...raw];
}
