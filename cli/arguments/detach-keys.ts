import { InvalidArgumentError } from "commander";

/** Keys that leave an exec. */
export interface DetachKeys {
  /** What the terminal sends for them; empty when nothing leaves. */
  bytes: Buffer;
  /** For people: `Ctrl-]`, `Ctrl-P Ctrl-Q`. */
  label: string;
}

function parseKey(text: string): { byte: number; label: string } {
  const control = /^(?:ctrl-|\^)([a-z@[\\\]^_])$/i.exec(text)?.[1]?.toUpperCase();
  if (control !== undefined) return { byte: control.charCodeAt(0) & 0x1f, label: `Ctrl-${control}` };
  if (/^[!-~]$/.test(text)) return { byte: text.charCodeAt(0), label: text };
  throw new InvalidArgumentError("Write keys such as ctrl-], or ctrl-p,ctrl-q; none for no keys.");
}

/** Parses `ctrl-]`, `ctrl-p,ctrl-q`, `ctrl-a,d` or `none`. The first one is a control key, so that text is not mistaken for it. */
export function parseDetachKeys(text: string): DetachKeys {
  if (text === "none" || text === "") return { bytes: Buffer.alloc(0), label: "" };
  const keys = text.split(",").map(parseKey);
  if ((keys[0]?.byte ?? 0) >= 0x20)
    throw new InvalidArgumentError("The first key is a control key, e.g. ctrl-a,d.");
  return {
    bytes: Buffer.from(keys.map(({ byte }) => byte)),
    label: keys.map(({ label }) => label).join(" "),
  };
}

export const defaultDetachKeys: DetachKeys = parseDetachKeys("ctrl-]");
