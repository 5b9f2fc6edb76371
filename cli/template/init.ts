import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ThawError } from "../../client/index.ts";
import { quoteWord } from "../format/ending.ts";
import { printJson, writeErr, writeOut } from "../output.ts";

/** Flags of `thaw template init`. */
export interface InitFlags {
  from: string;
  json?: boolean;
}

/** The text of a new recipe. */
export function newRecipe(name: string, from: string): string {
  return `# yaml-language-server: $schema=https://raw.githubusercontent.com/thaw-ci/thaw/main/docs/template.schema.json
name: ${name}
description: ""
from: ${from}
packages: [ca-certificates, git]
# files:                    # of this folder, placed before the first step
#   - { from: app.toml, to: /etc/app.toml, mode: "0644" }
# fetch:                    # downloaded by the host; nothing is placed whose digest is wrong
#   - { url: "https://example.com/tool", sha256: <64 hex digits>, to: /usr/local/bin/tool, mode: "0755" }
# network: [registry.npmjs.org]   # what the steps may reach
# setup:                    # as root; a build starts at the first step that changed
#   - { name: dependencies, run: npm ci }
# env: { LANG: C.UTF-8 }    # of every command
# warm: [git --version]     # runs before the freeze, so that it is in memory
# onThaw: [systemctl restart app]   # runs in each new sandbox, before it is used
resources: { cpus: 1, memory: 512M, disk: 4G }
`;
}

/** `thaw template init`: writes a template.yaml. */
export function init(folder: string, flags: InitFlags): void {
  const file = join(folder, "template.yaml");
  const name = basename(resolve(folder))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 32);
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(file, newRecipe(name.replace(/-$/, "") || "template", flags.from), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new ThawError("usage", `${file} exists already`, {
      hint: `thaw template edit ${quoteWord(file)}`,
    });
  }
  if (flags.json === true) printJson({ file });
  else writeOut(`${file}\n`);
  const path = folder === "." || folder.includes("/") ? folder : `./${folder}`;
  writeErr(`build it: thaw template build ${quoteWord(path)}\n`);
}
