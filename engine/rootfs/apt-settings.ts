/** How the host's apt reaches Debian, read from apt itself, so that images come from the mirrors the operator chose. */

/** apt's answer to `indextargets` in `TARGETS_FORMAT`, one line a target. */
export const TARGETS_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)";

/**
 * One-line sources for `suite` from the host's own, empty when the host has another suite. Only Debian's archives: the caller asks apt
 * for targets with `Origin: Debian`.
 * @param keyring host's Debian keyring, at the same path in the image; absent when the host has none
 */
export function sourcesFor(suite: string, targets: string, keyring: string | undefined): string[] {
  const wanted = new Set([suite, `${suite}-updates`, `${suite}-security`]);
  const components = new Map<string, Set<string>>();
  for (const line of targets.split("\n")) {
    const [uri, release, component] = line.split("|");
    if (!uri || !release || !component || !wanted.has(release)) continue;
    const key = `${uri} ${release}`;
    components.set(key, (components.get(key) ?? new Set()).add(component));
  }
  const sources = [...components].filter(([, names]) => names.has("main"));
  if (!sources.some(([key]) => key.endsWith(` ${suite}`))) return [];
  const signedBy = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  return sources.map(([key, names]) => `deb ${signedBy}${key} ${[...names].join(" ")}`);
}

export interface AptSettings {
  /** Options an image of these sources needs too. */
  options: string[];
  /** Proxies, as environment: they are for this host's build only and must not get into the image. */
  environment: Record<string, string>;
}

/** Picks from `apt-config dump` what building an image from the host's mirrors depends on. */
export function aptSettings(dump: string): AptSettings {
  const settings: AptSettings = { options: [], environment: {} };
  for (const [, key = "", value = ""] of dump.matchAll(/^(Acquire::[A-Za-z:-]+) "([^"]*)";$/gm)) {
    if (/^Acquire::(Check-Valid-Until|Check-Date|Retries)$/.test(key))
      settings.options.push(`${key} "${value}"`);
    const proxy = /^Acquire::(https?)::Proxy$/i.exec(key)?.[1];
    if (proxy !== undefined && value !== "" && value !== "DIRECT")
      settings.environment[`${proxy.toLowerCase()}_proxy`] = value;
  }
  return settings;
}
