/** How the host's apt reaches Debian, read from apt itself, so that images come from the mirrors the operator chose. */

/** apt's answer to `indextargets` in `TARGETS_FORMAT`, one line a target. */
export const TARGETS_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)";

const DEBIAN_MIRROR = "http://deb.debian.org/debian";

export interface SuiteSources {
  /** One-line sources; none: Debian's own mirrors. */
  lines: string[];
  /** Whether the host's own apt has the suite, lists included. */
  ofHost: boolean;
}

/**
 * One-line sources for `suite`: the host's own, or the host's mirrors asked for another suite. Only Debian's archives: the caller asks apt
 * for targets with `Origin: Debian`.
 * @param keyring host's Debian keyring, at the same path in the image; absent when the host has none
 */
export function sourcesFor(suite: string, targets: string, keyring: string | undefined): SuiteSources {
  const components = new Map<string, Map<string, Set<string>>>();
  for (const line of targets.split("\n")) {
    const [uri, release, component] = line.split("|");
    if (!uri || !release || !component) continue;
    const uris = components.get(release) ?? new Map<string, Set<string>>();
    uris.set(uri, (uris.get(uri) ?? new Set()).add(component));
    components.set(release, uris);
  }
  const hasMain = (release: string): boolean =>
    [...(components.get(release)?.values() ?? [])].some((names) => names.has("main"));
  const ofHost = hasMain(suite);
  const hostSuite = ofHost
    ? suite
    : [...components.keys()].find((name) => !name.includes("-") && hasMain(name));
  if (hostSuite === undefined) return { lines: [], ofHost: false };
  const signedBy = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  const lines = ["", "-updates", "-security"].flatMap((pocket) =>
    [...(components.get(hostSuite + pocket) ?? [])]
      .filter(([, names]) => names.has("main"))
      .map(
        ([uri, names]) => `deb ${signedBy}${uri} ${suite}${pocket} ${ofHost ? [...names].join(" ") : "main"}`,
      ),
  );
  return { lines, ofHost };
}

/** Debian's own archive, for a host whose apt has none of Debian's: it trusts Debian's keys only where it is told to. */
export function debianSources(suite: string, keyring: string | undefined): string[] {
  const signedBy = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  return [`deb ${signedBy}${DEBIAN_MIRROR} ${suite} main`];
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
