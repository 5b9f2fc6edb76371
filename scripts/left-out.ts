// Packages that a bundle is made without.
import type { Plugin } from "rolldown";

/** Other packages use them where they happen to be installed: beside a bundle they never are. */
const OPTIONAL = /^(bufferutil|utf-8-validate|supports-color|react-devtools-core)$/;
/** @actions/artifact zips and unzips with them; the Action uploads a single file as it is and downloads none. */
const UNUSED = /^(archiver|unzip-stream)$/;
/** Of a workspace (action/package.json) that a quickstart does not install: an Action that is built there says so when it needs it. */
const IF_INSTALLED = /^@actions\/artifact$/;

export function leftOut(): Plugin {
  const prefix = "\0left-out:";
  return {
    name: "left-out",
    resolveId: {
      filter: { id: [OPTIONAL, UNUSED, IF_INSTALLED] },
      async handler(id, importer) {
        const installed = IF_INSTALLED.test(id) ? await this.resolve(id, importer, { skipSelf: true }) : null;
        return installed ?? { id: `${prefix}${id}.cjs` };
      },
    },
    load: {
      filter: { id: new RegExp(`^${prefix}`) },
      handler: (id) => {
        const name = id.slice(prefix.length, -".cjs".length);
        if (UNUSED.test(name)) return "module.exports = {};";
        const hint = IF_INSTALLED.test(name) ? ": npm run bootstrap installs it, and bundles again" : "";
        return `throw new Error(${JSON.stringify(`${name} is not in this bundle${hint}`)});`;
      },
    },
  };
}
