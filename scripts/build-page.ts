// Builds the web page into dist/web: files named by their content, each with a compressed copy beside it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build, type Plugin } from "vite";
import config from "../web/vite.config.ts";

/** What is not worth a compressed copy. */
const SMALL = 1024;

/** @returns the source files that the page is made of, relative to `root` */
export async function buildPage({ root, out }: { root: string; out: string }): Promise<string[]> {
  const inputs = new Set<string>();
  const collect: Plugin = {
    name: "collect-inputs",
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle))
        if (file.type === "chunk") for (const id of file.moduleIds) inputs.add(id);
    },
  };
  const noNode: Plugin = {
    name: "no-node",
    enforce: "pre",
    resolveId: {
      filter: { id: /^node:/ },
      handler(source, importer) {
        throw new Error(`${importer} imports ${source}, which a page does not have`);
      },
    },
  };
  await build({
    ...config,
    configFile: false,
    plugins: [noNode, collect],
    build: { ...config.build, outDir: out },
  });
  const files = readdirSync(out, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  await Promise.all(files.map((entry) => compress(join(entry.parentPath, entry.name))));
  return [...inputs].filter((id) => !id.startsWith("\0")).map((id) => relative(root, id.split("?")[0] ?? id));
}

async function compress(path: string): Promise<void> {
  const content = readFileSync(path);
  if (content.length < SMALL) return;
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(content, { params }),
    promisify(gzip)(content, { level: 9 }),
  ]);
  writeFileSync(`${path}.br`, br);
  writeFileSync(`${path}.gz`, gz);
}
