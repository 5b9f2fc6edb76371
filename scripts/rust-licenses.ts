/** The licences of the crates that the static programs are made of. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Stands where a crate's text is not on this machine; a release with it is refused. */
export const NO_TEXT = "(its licence's text was not found here)";

const CRATES = ["guest", "runners/native"];

interface Dependency {
  name: string;
  version: string;
}

/** What is linked, which leaves out what only tests use. Every dependency of ours has none of its own. */
function readDependencies(root: string, crate: string): Dependency[] {
  const section = /^\[dependencies\]\n(.*?)(?:^\[|$(?![\s\S]))/ms;
  const names = [
    ...(section.exec(readFileSync(join(root, crate, "Cargo.toml"), "utf8"))?.[1] ?? "").matchAll(
      /^([\w-]+) =/gm,
    ),
  ];
  const lock = readFileSync(join(root, crate, "Cargo.lock"), "utf8");
  return names.map(([, name = ""]) => {
    const locked = new RegExp(`^name = "${name}"\nversion = "([^"]+)"\n(?:(?!\n\n)[\\s\\S])*`, "m").exec(
      lock,
    );
    if (locked === null || locked[0].includes("\ndependencies = "))
      throw new Error(
        `${crate}/Cargo.lock: ${name} is not there, or has dependencies whose licences nobody collects`,
      );
    return { name, version: locked[1] ?? "" };
  });
}

function findSources({ name, version }: Dependency): string | undefined {
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry", "src");
  const indexes = existsSync(registry) ? readdirSync(registry) : [];
  return indexes
    .map((index) => join(registry, index, `${name}-${version}`))
    .find((folder) => existsSync(folder));
}

function describe(dependency: Dependency): string {
  const title = `${dependency.name} ${dependency.version} (Rust crate)`;
  const folder = findSources(dependency);
  const files =
    folder === undefined ? [] : readdirSync(folder).filter((file) => /^(licen[cs]e|copying)/i.test(file));
  const texts = files.sort().map((file) => readFileSync(join(folder ?? "", file), "utf8").trim());
  return [title, ...(texts.length === 0 ? [NO_TEXT] : texts)].join("\n\n");
}

/** @throws Error for a crate that has dependencies in turn */
export function rustLicenses(root: string): string {
  const all = CRATES.flatMap((crate) => readDependencies(root, crate));
  const once = new Map(all.map((dependency) => [`${dependency.name} ${dependency.version}`, dependency]));
  return [...once.values()].map((dependency) => `${describe(dependency)}\n`).join("\n");
}
