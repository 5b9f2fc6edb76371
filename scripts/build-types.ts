/** The published declarations: `dist/client.d.ts`, one file that imports nothing, for what client/index.ts exports. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { projectSchema } from "../client/project/schema.ts";
import { printApiTypes, printOutput } from "./api-types.ts";

const root = join(import.meta.dirname, "..");
const cache = join(root, "node_modules/.cache");
mkdirSync(cache, { recursive: true });
const work = mkdtempSync(join(cache, "types-"));
try {
  emit();
  // Types made by zod are written out, so that the declarations do without zod.
  const codes = `export type { ErrorCode } from "./error-codes.ts";\n`;
  writeFileSync(join(work, "out/api/schema.d.ts"), codes + printApiTypes(root));
  const project = printOutput(projectSchema(() => undefined));
  writeFileSync(
    join(work, "out/client/project/schema.d.ts"),
    `export type ProjectFile = ${project};\nexport type RunDefinition = ProjectFile["runs"][string];\n`,
  );
  writeFileSync(join(root, "dist/client.d.ts"), standalone(await bundle()));
} finally {
  rmSync(work, { recursive: true, force: true });
}

function emit(): void {
  const compilerOptions = {
    ...{ noEmit: false, declaration: true, emitDeclarationOnly: true, incremental: false },
    ...{ tsBuildInfoFile: null, rootDir: root, outDir: join(work, "out") },
  };
  const config = join(work, "tsconfig.json");
  const files = [join(root, "client/index.ts")];
  writeFileSync(
    config,
    JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions, include: [], files }),
  );
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", config], { stdio: "inherit" });
}

async function bundle(): Promise<string> {
  const build = await rolldown({
    input: { client: join(work, "out/client/index.d.ts") },
    plugins: [dts({ dtsOnly: true, tsconfig: false, generator: "oxc" })],
    external: [/^node:/, "zod", "ws", "undici"],
    logLevel: "warn",
  });
  await build.write({ dir: join(work, "bundle"), format: "es" });
  await build.close();
  return readFileSync(join(work, "bundle/client.d.ts"), "utf8");
}

/**
 * Without types of Node's: a Buffer is a Uint8Array, and what is Node's own (an open file, a file's stats) is opaque to users of the SDK.
 * @throws Error when a type of another package is left
 */
function standalone(text: string): string {
  const opaque = [...text.matchAll(/^import \{([^}]*)\} from "node:[^"]*";\n/gm)].flatMap(([, names = ""]) =>
    names.split(",").map((name) => name.trim()),
  );
  const plain = text
    .replace(/^import .* from "node:[^"]*";\n/gm, "")
    .replace(/\bBuffer(<ArrayBufferLike>)?\b/g, "Uint8Array")
    .replace(/\bNodeJS\.ProcessEnv\b/g, "Record<string, string | undefined>")
    .replace(/\bNodeJS\.\w+\b/g, "unknown")
    .replace(new RegExp(`(?<=(?::|=>) )(${opaque.join("|")})\\b(<[^>]*>)?`, "g"), "unknown");
  const foreign = /^import .*/m.exec(plain);
  if (foreign !== null) throw new Error(`the declarations need another package: ${foreign[0]}`);
  return `/// <reference lib="esnext.disposable" />\n${plain}`;
}
