/** Templates of git repositories: pinned, read without a checkout, with nothing that a repository names run on this host. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readTemplate } from "../../client/index.ts";
import { GitServer } from "../helpers/git-server.ts";

let server: GitServer;
let commit = "";
const proof = join(tmpdir(), `thaw-git-ran-${process.pid}`);
const RECIPE =
  "name: t\nfrom: debian:bookworm\nfiles: [{ from: conf, to: /etc/t }, { from: tool, to: /bin/ }]\n";
const address = (path: string, at = commit) => `${server.url}/acme/shop${path}@${at}`;

beforeAll(async () => {
  server = await GitServer.start();
  const folder = server.folderOf("acme/shop");
  mkdirSync(join(folder, "ci/conf/deep"), { recursive: true });
  writeFileSync(join(folder, "ci/template.yaml"), RECIPE);
  writeFileSync(join(folder, "ci/conf/deep/a"), "a\n");
  symlinkSync("/etc/passwd", join(folder, "ci/conf/link"));
  writeFileSync(join(folder, "ci/tool"), "#!/bin/sh\n", { mode: 0o755 });
  mkdirSync(join(folder, "large"));
  writeFileSync(join(folder, "large/template.yaml"), RECIPE.replaceAll("conf", "big"));
  writeFileSync(join(folder, "large/big"), Buffer.alloc(9 << 20));
  writeFileSync(join(folder, ".gitattributes"), "* filter=evil\n");
  writeFileSync(join(folder, ".lfsconfig"), `[lfs]\n\turl = file:///etc\n`);
  writeFileSync(join(folder, ".gitmodules"), `[submodule "x"]\n\tpath = x\n\turl = ext::touch ${proof}\n`);
  server.git("acme/shop", "add", "-A");
  server.git("acme/shop", "commit", "-qm", "one");
  commit = server.git("acme/shop", "rev-parse", "HEAD");
  server.git("acme/shop", "config", "uploadpack.allowAnySHA1InWant", "true");
  server.git("acme/shop", "config", "uploadpack.allowFilter", "true");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});

test("a commit's template is read with its files, whatever git is configured to do", async () => {
  const config = join(server.root, "config");
  writeFileSync(
    config,
    `[filter "evil"]\n\tsmudge = touch ${proof}\n[core]\n\tfsmonitor = touch ${proof}\n[url "file:///"]\n\tinsteadOf = ${server.url}\n`,
  );
  vi.stubEnv("GIT_CONFIG_GLOBAL", config);
  vi.stubEnv("GIT_CONFIG_SYSTEM", config);
  vi.stubEnv("GIT_EXTERNAL_DIFF", `touch ${proof}`);
  const left = () =>
    readdirSync(tmpdir()).filter(
      (name) => name.startsWith("thaw-git-") && !name.startsWith("thaw-git-server-"),
    );
  const before = left();
  const encoded = { data: Buffer.from("a\n").toString("base64"), executable: false };
  const tool = { data: Buffer.from("#!/bin/sh\n").toString("base64"), executable: true };
  const expected = { recipe: RECIPE, files: { "conf/deep/a": encoded, tool } };
  expect(await readTemplate(address("//ci"))).toEqual(expected);
  expect(await readTemplate(address("//ci/template.yaml"))).toEqual(expected);
  expect(existsSync(proof)).toBe(false);
  expect(left()).toEqual(before);
});

test("a branch is refused, with the commit that it names now; so is what is not there", async () => {
  for (const at of [address("//ci", "main"), address("//ci").replace(/@.*/, "")])
    await expect(readTemplate(at)).rejects.toMatchObject({
      ...{ code: "usage", message: expect.stringContaining("40 hex digits") },
      hint: expect.stringContaining(`/acme/shop//ci@${commit}`),
    });
  await expect(readTemplate(address(""))).rejects.toThrow("there is no file template.yaml");
  await expect(readTemplate(address("//large"))).rejects.toThrow("a file of it has more than 8388608 bytes");
  await expect(readTemplate(address("//ci", "0".repeat(40)))).rejects.toThrow("could not be fetched");
  await expect(readTemplate(`${server.url}/acme/none//ci@${commit}`)).rejects.toThrow("could not be fetched");
});
