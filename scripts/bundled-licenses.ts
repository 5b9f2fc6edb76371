/** The licences of the packages that a bundle is made of. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** @param inputs files of the bundle, relative to `root`. @throws Error for a package without a licence's text */
export function bundledLicenses(root: string, inputs: readonly string[]): string {
  const packages = inputs.flatMap((input) => {
    const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
    return found === undefined ? [] : [found];
  });
  return [...new Set(packages)]
    .sort()
    .map((folder) => describe(join(root, folder)))
    .join("\n");
}

function describe(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<
    string,
    string
  >;
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
  if (license === undefined && text === "") throw new Error(`${name} has no licence`);
  return `${name} ${version} (${license})\n\n${text}\n`;
}
