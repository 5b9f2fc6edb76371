// Packages that other packages use where they happen to be installed: beside a bundle they never are.
import type { Plugin } from "rolldown";

const OPTIONAL = /^(bufferutil|utf-8-validate|supports-color)$/;

export function leftOut(): Plugin {
  const prefix = "\0left-out:";
  return {
    name: "left-out",
    resolveId: { filter: { id: OPTIONAL }, handler: (id) => ({ id: `${prefix}${id}.cjs` }) },
    load: {
      filter: { id: new RegExp(`^${prefix}`) },
      handler: (id) => `throw new Error(${JSON.stringify(`not bundled: ${id.slice(prefix.length)}`)});`,
    },
  };
}
