// Packages that a bundle is made without.
import type { Plugin } from "rolldown";

/** Other packages use them where they happen to be installed: beside a bundle they never are. */
const OPTIONAL = /^(bufferutil|utf-8-validate|supports-color|react-devtools-core)$/;
/** @actions/artifact zips and unzips with them; the Action uploads a single file as it is and downloads none. */
const UNUSED = /^(archiver|unzip-stream)$/;

export function leftOut(): Plugin {
  const prefix = "\0left-out:";
  return {
    name: "left-out",
    resolveId: {
      filter: { id: [OPTIONAL, UNUSED] },
      handler: (id) => ({ id: `${prefix}${id}.cjs` }),
    },
    load: {
      filter: { id: new RegExp(`^${prefix}`) },
      handler: (id) => {
        const name = id.slice(prefix.length, -".cjs".length);
        return UNUSED.test(name)
          ? "module.exports = {};"
          : `throw new Error(${JSON.stringify(`not bundled: ${name}`)});`;
      },
    },
  };
}
