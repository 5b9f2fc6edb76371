/** Debian's suites that a machine can be made of. The host's mirror says which of them there are. */

export const DEFAULT_SUITE = "bookworm";
/** Those that a mistake is told of, where the mirror has them. */
export const KNOWN_SUITES = ["bullseye", "bookworm", "trixie", "forky", "sid"] as const;
/** Of suites whose meaning stays: no name that means another one after each release, none that is no whole one. */
export const SUITE_PATTERN = /^(?!(?:old)*stable$|testing$|unstable$|experimental$)[a-z]{2,32}$/;
export const SUITE_HINT = `the name of a Debian suite, such as ${KNOWN_SUITES.join(", ")}; not stable or testing, which change their meaning`;

/** How the versions of kernels show their suite. */
const KERNELS = [
  [/^5\.10\./, "bullseye"],
  [/^6\.1\./, "bookworm"],
  [/^6\.12\./, "trixie"],
  [/\+deb14-/, "forky"],
] as const;

/** The suite whose kernels are most like `kernel`. */
export function suiteOfKernel(kernel: string): string {
  return KERNELS.find(([mark]) => mark.test(kernel))?.[1] ?? DEFAULT_SUITE;
}
