// Ink's layout engine reads its own WebAssembly, a data: URL in its source, by `fetch`. Node then loads its HTTP client, a quarter of the dashboard's
// start. Where there is no `fetch`, the engine decodes the text itself.
import type { Plugin } from "rolldown";

export function yogaWithoutFetch(): Plugin {
  return {
    name: "yoga-without-fetch",
    transform: {
      filter: { id: /\/yoga-layout\/dist\/binaries\/[^/]+\.js$/ },
      handler: (code) => ({ code: `const fetch = undefined;\n${code}`, map: null }),
    },
  };
}
