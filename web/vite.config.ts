import type { UserConfig } from "vite";

/** The page is served under a policy that allows no inline script or style, and nothing from elsewhere. */
export default {
  root: import.meta.dirname,
  base: "/",
  logLevel: "warn",
  build: {
    outDir: "../dist/web",
    emptyOutDir: true,
    target: ["chrome125", "firefox128", "safari17.5"],
    modulePreload: { polyfill: false },
    // a data: address is inline
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    license: false,
    rolldownOptions: {
      checks: { ineffectiveDynamicImport: false },
      onLog(level, log, handle) {
        // React's marks for servers
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handle(level, log);
      },
    },
  },
} satisfies UserConfig;
