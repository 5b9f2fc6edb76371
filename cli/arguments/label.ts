import { InvalidArgumentError } from "commander";

type Labels = Readonly<Record<string, string>>;

/** Adds `KEY=VALUE` to what was given so far. */
export function collectLabel(text: string, before: Labels = {}): Labels {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write KEY=VALUE.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
