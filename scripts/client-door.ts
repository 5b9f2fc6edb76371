// The CLI, the Action and what belongs to GitHub import the client through client/index.ts only. A bundle of that file whole would be loaded by
// every command, so the bundler takes each name from the file that exports it.
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Plugin } from "rolldown";

const DOOR = "client/index.ts";
/** Folders whose files come through it. */
const USERS = ["cli", "action", "github"];

interface Exported {
  file: string;
  name: string;
}

/** What each name of the door stands for. */
function readDoor(root: string): Map<string, Exported> {
  const text = readFileSync(join(root, DOOR), "utf8");
  const names = new Map<string, Exported>();
  for (const [, list = "", path = ""] of text.matchAll(/^export \{([^}]*)\} from "([^"]+)";/gms))
    for (const entry of split(list)) {
      const [name = "", exported = name] = entry.split(" as ");
      names.set(exported, { file: join(root, "client", path), name });
    }
  return names;
}

/** Names in braces, without those of types. */
function split(list: string): string[] {
  return list
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "" && !entry.startsWith("type "));
}

export function clientDoor(root: string): Plugin {
  const names = readDoor(root);
  const find = (name: string): Exported => {
    const found = names.get(name);
    if (found === undefined) throw new Error(`${DOOR} does not export ${name}`);
    return found;
  };
  return {
    name: "client-door",
    load: {
      filter: { id: USERS.map((folder) => `${root}/${folder}/**/*.{ts,tsx}`) },
      handler(path) {
        const from = (file: string): string => {
          const near = relative(dirname(path), file);
          return near.startsWith(".") ? near : `./${near}`;
        };
        const code = readFileSync(path, "utf8")
          .replace(/^import \{([^}]*)\} from "[^"]*\/client\/index\.ts";/gms, (_whole, list: string) =>
            split(list)
              .map((entry) => {
                const [exported = "", local = exported] = entry.split(" as ");
                const { file, name } = find(exported);
                return `import { ${name} as ${local} } from "${from(file)}";`;
              })
              .join(" "),
          )
          .replace(
            /const \{([^}]*)\} = await import\("[^"]*\/client\/index\.ts"\);/g,
            (_whole, list: string) =>
              split(list)
                .map((name) => {
                  const found = find(name);
                  return `const { ${found.name}: ${name} } = await import("${from(found.file)}");`;
                })
                .join(" "),
          );
        return { code, moduleType: path.endsWith("x") ? "tsx" : "ts" };
      },
    },
  };
}
