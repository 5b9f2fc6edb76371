/** Debian's suites that a machine can be made of. */

export const DEFAULT_SUITE = "bookworm";
/** Series of kernels, as they begin, and the Debian suites that have them. */
export const KERNEL_SUITES = [
  ["6.1.", "bookworm"],
  ["6.12.", "trixie"],
] as const;
export const DEBIAN_SUITES: readonly string[] = KERNEL_SUITES.map(([, suite]) => suite);
