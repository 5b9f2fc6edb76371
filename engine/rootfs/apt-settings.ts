/** How the host's apt reaches Debian, read from apt itself, so that images come from the mirrors the operator chose. */

/** apt's answer to `indextargets` in `TARGETS_FORMAT`, one line a target. */
export const TARGETS_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)";

const DEBIAN_MIRROR = "http://deb.debian.org/debian";
const POCKETS = ["", "-updates", "-security"] as const;

/** A part of Debian's archive. */
export interface Source {
  uri: string;
  /** With its pocket, e.g. `bookworm-updates`. */
  suite: string;
  components: readonly string[];
}

/**
 * Sources of `suite`: the host's own; or the host's mirrors, asked for another suite; or Debian's own mirrors. Only of Debian's archives: the
 * caller asks apt for targets with `Origin: Debian`.
 * @returns ofHost: whether the host's own apt has the suite, lists included
 */
export function sourcesFor(suite: string, targets: string): { sources: Source[]; ofHost: boolean } {
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
  if (hostSuite === undefined) {
    const uriOf = (pocket: string): string =>
      pocket === "-security" ? `${DEBIAN_MIRROR}-security` : DEBIAN_MIRROR;
    const sources = POCKETS.map((pocket) => ({
      uri: uriOf(pocket),
      suite: suite + pocket,
      components: ["main"],
    }));
    return { sources, ofHost };
  }
  const sources = POCKETS.flatMap((pocket) =>
    [...(components.get(hostSuite + pocket) ?? [])]
      .filter(([, names]) => names.has("main"))
      .map(([uri, names]) => ({ uri, suite: suite + pocket, components: ofHost ? [...names] : ["main"] })),
  );
  return { sources, ofHost };
}

/** @param keyring host's Debian keyring, at the same path in the image; absent when the host has none */
export function sourceLine({ uri, suite, components }: Source, keyring: string | undefined): string {
  const signedBy = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  return `deb ${signedBy}${uri} ${suite} ${components.join(" ")}`;
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
