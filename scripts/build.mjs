// Bundles the CLI, the daemon, the client, the Action and the web page into dist/, beside the static Rust programs and the templates they come with.
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildPage } from "./build-page.ts";
import { builtFrom } from "./built-from.ts";
import { bundle } from "./bundle.ts";
import { bundledLicenses } from "./bundled-licenses.ts";
import { rustLicenses } from "./rust-licenses.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
const staged = join(root, "dist.new");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

rmSync(staged, { recursive: true, force: true });
// Each by itself: what two of them share would be cut into many small files.
const inputs = new Set(
  (
    await Promise.all([
      bundle({ root, out: staged, entries: { thaw: "cli/main.ts" } }),
      bundle({ root, out: staged, entries: { daemon: "daemon/main.ts", scan: "daemon/scan.ts" } }),
      bundle({ root, out: staged, entries: { client: "client/index.ts" } }),
      bundle({
        root,
        out: staged,
        entries: { "action/main": "action/main.ts", "action/post": "action/post.ts" },
      }),
      buildPage({ root, out: join(staged, "web") }),
    ])
  ).flat(),
);

const programs = {
  guest: ["thaw-agent"],
  "runners/native": ["thaw-jail", "thaw-keeper", "thaw-pages", "thaw-pressure", "thaw-seal", "thaw-xattrs"],
};
mkdirSync(join(staged, "agent"));
for (const [crate, names] of Object.entries(programs)) {
  const release = join(root, crate, "target", "x86_64-unknown-linux-gnu", "release");
  for (const name of names) {
    if (!existsSync(join(release, name))) throw new Error(`${name} is not built: npm run bootstrap`);
    cpSync(join(release, name), join(staged, "agent", name));
  }
}
cpSync(join(root, "templates"), join(staged, "templates"), { recursive: true });
cpSync(join(root, "cli", "launcher.sh"), join(staged, "thaw"));
for (const name of ["thaw", "thaw.mjs"]) chmodSync(join(staged, name), 0o755);
const licenses = `${bundledLicenses(root, [...inputs])}\n${rustLicenses(root)}`;
writeFileSync(join(staged, "THIRD-PARTY-LICENSES.txt"), licenses);

const hash = createHash("sha256");
for (const path of readdirSync(staged, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .sort()) {
  hash.update(path.slice(staged.length)).update(readFileSync(path));
}
const digest = hash.digest("hex").slice(0, 16);
const before = existsSync(join(dist, "version.json"))
  ? JSON.parse(readFileSync(join(dist, "version.json"), "utf8"))
  : null;
// The same content keeps its time, so that a running daemon of it is not replaced.
const builtAt = before?.digest === digest ? before.built : Date.now();
const { commit, isRelease } = builtFrom(root, version);
writeFileSync(
  join(staged, "version.json"),
  `${JSON.stringify({ version, digest, built: builtAt, commit, isRelease })}\n`,
);
rmSync(dist, { recursive: true, force: true });
renameSync(staged, dist);
