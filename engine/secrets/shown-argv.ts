/** A command as an audit may show it: the beginning of it, without the secret values that came with it. */
import { SecretMatcher } from "./matcher.ts";
import { sealSecrets } from "./sealed.ts";

const SHOWN_WORDS = 8;

export function shownArgv(request: {
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  mask?: readonly string[] | undefined;
}): string[] {
  const words = request.argv.slice(0, SHOWN_WORDS);
  const secret = Object.entries(request.env).filter(([name]) => request.mask?.includes(name));
  if (secret.length === 0) return words;
  const matcher = SecretMatcher.of(sealSecrets(null, Object.fromEntries(secret)));
  return words.map((word) => matcher?.hide(word) ?? word);
}
