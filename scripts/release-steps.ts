/** The shapes of a release and of what is done with it. */

export interface Release {
  /** The checkout. */
  root: string;
  /** The folder that it is made in: `thaw-VERSION.tar.gz`, `thaw-ci-VERSION.tgz`, `SHA256SUMS`, `NOTES.md`. */
  out: string;
  version: string;
  /** Its section of the changelog. */
  notes: string;
}

/** One thing that leaves this machine. */
export interface Upload {
  what: string;
  /** As a person would type it. */
  commands: string[];
  run(): void;
}

export function describeAll(uploads: readonly Upload[]): string {
  return uploads
    .map(({ what, commands }) => `  ${what}\n${commands.map((line) => `    ${line}\n`).join("")}`)
    .join("");
}

/** What a tag's archive is called. */
export const archiveName = ({ version }: Release): string => `thaw-${version}.tar.gz`;
/** What npm calls the package. */
export const packageName = ({ version }: Release): string => `thaw-ci-${version}.tgz`;
