/** Shapes of well-known tokens, by what they are. Enough to catch a slip, not a scanner. */
const shapes: readonly (readonly [name: string, shape: RegExp])[] = [
  ["a GitHub token", /\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})/],
  ["a GitLab token", /\bglpat-[A-Za-z0-9_-]{20}/],
  ["an npm token", /\bnpm_[A-Za-z0-9]{36}/],
  ["a PyPI token", /\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{20}/],
  ["an AWS access key", /\b(AKIA|ASIA)[A-Z0-9]{16}\b/],
  ["a Google API key", /\bAIza[A-Za-z0-9_-]{35}/],
  ["a Slack token", /\bxox[abposr]-[A-Za-z0-9-]{10}/],
  ["a Stripe key", /\b[rs]k_live_[A-Za-z0-9]{20}/],
  ["an API key", /\bsk-[A-Za-z0-9_-]{32}/],
  ["a JSON Web Token", /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10}/],
  ["a private key", /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----/],
];

/** What kind of secret a text looks like; undefined for none. */
export function looksSecret(text: string): string | undefined {
  return shapes.find(([, shape]) => shape.test(text))?.[0];
}

/** Every string that looks like a secret, with its path. */
export function findSecrets(
  value: unknown,
  path: readonly PropertyKey[] = [],
): { path: readonly PropertyKey[]; kind: string }[] {
  if (typeof value === "string") {
    const kind = looksSecret(value);
    return kind === undefined ? [] : [{ path, kind }];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => findSecrets(inner, [...path, key]));
}
