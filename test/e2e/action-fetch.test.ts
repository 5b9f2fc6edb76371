/** Code that a step fetches inside its sandbox: the released Action, git's own server, real sandboxes. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StepResult } from "../action-runner/job.ts";
import { useAction } from "../helpers/action.ts";
import { GitServer } from "../helpers/git-server.ts";
import { type SandboxRow, thaw, thawEnv, thawJson, until } from "../helpers/thaw.ts";

const startJob = useAction();
const TOKEN = `ghs_${randomUUID().replaceAll("-", "")}`;
const BASIC = Buffer.from(`x-access-token:${TOKEN}`).toString("base64");
let server: GitServer;
/** What the repository would write if anything of it ran here. */
let canary: string;

beforeAll(async () => {
  server = await GitServer.start();
  canary = join(server.root, "canary");
  makeHostile("acme/shop");
  server.tokens["acme/shop"] = TOKEN;
  const folder = server.folderOf("eve/shop");
  writeFileSync(join(folder, "a.txt"), "a\n");
  server.git("eve/shop", "add", ".");
  server.git("eve/shop", "commit", "-qm", "first");
  server.git("eve/shop", "tag", "-a", "-m", "a tag", "v1");
});
afterAll(() => server[Symbol.asyncDispose]());

/** Everything that makes git run a program, where a checkout is careless. */
function makeHostile(name: string): void {
  const folder = server.folderOf(name);
  const run = `touch ${canary}`;
  const files = {
    ".gitattributes": "*.txt filter=evil diff=evil\n*.bin filter=lfs\n",
    ".gitmodules": `[submodule "x"]\n\tpath = x\n\turl = ext::sh -c '${run}'\n\tupdate = !${run}\n`,
    ".gitconfig": `[filter "evil"]\n\tsmudge = ${run}\n\tclean = ${run}\n[core]\n\tfsmonitor = ${run}\n`,
    ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:9/\n",
    ".envrc": run,
    "a.txt": "first\n",
    "b.bin": "version https://git-lfs.github.com/spec/v1\n",
    "package.json": `{ "scripts": { "preinstall": "${run}" } }\n`,
  };
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
  server.git(name, "add", ".");
  server.git(name, "commit", "-qm", "first");
  writeFileSync(join(folder, "a.txt"), "second\n");
  server.git(name, "commit", "-qam", "second");
  server.git(name, "update-ref", "refs/pull/7/head", "HEAD");
}

/** Matches a text, and is not the text: the script is among what it looks at. */
const pattern = (text: string): string => `'[${text[0]}]${text.slice(1)}'`;
const said = ({ log, honoured }: StepResult): string =>
  [...log, ...honoured.filter(({ name }) => name !== "add-mask").map(({ data }) => data)].join("\n");
const environment = (): Record<string, string> => ({ GITHUB_SERVER_URL: server.url });
const sandboxes = async (): Promise<string[]> =>
  (await thawJson<SandboxRow[]>(["ls"])).map(({ name }) => name);
/** Files of thaw's state that hold a text, machines' memory and disks aside. */
function filesWith(text: string): string[] {
  const home = thawEnv().THAW_HOME ?? "";
  const argv = [
    "-rlaF",
    "--exclude=memory*",
    "--exclude=*.qcow2",
    "--exclude-dir=versions",
    "-e",
    text,
    home,
  ];
  try {
    return execFileSync("grep", argv, { encoding: "utf8" }).trim().split("\n");
  } catch {
    return [];
  }
}

describe("repository", () => {
  test("a pull request's code is in the guest alone, which can't reach the server; a second step goes on there", async () => {
    await using job = startJob({ env: environment() });
    const before = readdirSync(job.folders.workspace).sort();
    const commit = server.git("acme/shop", "rev-parse", "HEAD");
    const seen = [
      "echo head $(git rev-parse HEAD) $(git rev-list --count HEAD) $(git symbolic-ref -q HEAD || echo detached)",
      'echo "status [$(git status --porcelain)]"',
      "cat a.txt; pwd; git remote get-url origin; ls .git/hooks 2>/dev/null || echo no hooks",
      `{ env; cat .git/config; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; } >/tmp/all; grep -ci -e ${pattern(TOKEN)} -e ${pattern(BASIC)} /tmp/all || true`,
      "git fetch --depth 1 origin main 2>/dev/null && echo REACHED || echo no way out",
    ];
    const first = await job.step({
      id: "first",
      with: {
        ...{ repository: "acme/shop", ref: "refs/pull/7/head", token: TOKEN },
        ...{ network: "none", keep: "job", run: seen.join("\n") },
      },
    });
    expect(said(first)).toContain(`head ${commit} 1 detached`);
    expect(first.conclusion).toBe("success");
    for (const line of [
      "status []",
      "second",
      "/workspace",
      `${server.url}/acme/shop`,
      "no hooks",
      "0",
      "no way out",
    ])
      expect(first.log).toContain(line);
    expect(said(first)).toMatch(new RegExp(`acme/shop refs/pull/7/head \\(${commit}\\) fetched: .* in `));
    expect(first.summary).toContain(`code: \`acme/shop\` at \`${commit}\` (\`refs/pull/7/head\`)`);
    expect(first.summary).toContain("| thaw | fetch | run |");
    const basic = `Basic ${BASIC}`;
    expect(server.asked).toEqual([
      { method: "GET", path: "/acme/shop.git/info/refs?service=git-upload-pack", authorization: basic },
      { method: "POST", path: "/acme/shop.git/git-upload-pack", authorization: basic },
      { method: "POST", path: "/acme/shop.git/git-upload-pack", authorization: basic },
    ]);
    const second = await job.step({ with: { sandbox: first.outputs.sandbox ?? "", run: "cat a.txt; pwd" } });
    expect(second.log).toContain("second");
    expect(readdirSync(job.folders.workspace).sort()).toEqual(before);
    await job.end();
    for (const text of [TOKEN, BASIC]) {
      expect(said(first) + first.summary).not.toContain(text);
      expect(filesWith(text)).toEqual([]);
    }
    expect(existsSync(canary)).toBe(false);
  });

  test("a failure is captured and run again from the state after the fetch", async () => {
    await using job = startJob({ env: environment() });
    const step = await job.step({
      with: { ...{ repository: "eve/shop", ref: "v1", "rerun-on-failure": "1" }, run: "cat a.txt; exit 3" },
    });
    expect(step).toMatchObject({ exitCode: 3, outputs: { "flake-verdict": "broken" } });
    const { capture = "" } = step.outputs;
    expect((await thaw(["replay", capture, "--", "cat", "/workspace/a.txt"])).stdout).toContain("a\n");
    expect(await sandboxes()).toEqual([]);
  });

  test("what can't be fetched is one error with a hint, and leaves nothing; so does a guest without git", async () => {
    await using job = startJob({ env: environment() });
    const wrong = await job.step({
      with: { run: "true", repository: "acme/shop", token: "ghs_wrongTokenOfTheTest", keep: "true" },
    });
    expect(wrong).toMatchObject({ conclusion: "failure", outputs: { outcome: "error" } });
    expect(said(wrong)).toMatch(
      /acme\/shop does not exist, or the token has no access to it \(status 401\).*contents: read/,
    );
    expect(said(wrong)).not.toContain("ghs_wrongTokenOfTheTest");
    expect(await sandboxes()).toEqual([]);
    // A server that stops in the middle of the pack, and a step that is cancelled meanwhile.
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    server.handlers["eve/slow"] = (message, response) => {
      const what = message.method === "GET" ? "advertisement" : "result";
      response.setHeader("content-type", `application/x-git-upload-pack-${what}`);
      if (what === "advertisement")
        return void response.end("000eversion 2\n000cls-refs\n0012fetch=shallow\n0000");
      response.write("000dpackfile\n0009\u0001PACK");
      reach();
    };
    const slow = job.start({ with: { run: "true", repository: "eve/slow", ref: "ab".repeat(20) } });
    await reached;
    await slow.process.cancel();
    expect((await slow.result).outputs.outcome).toBe("cancelled");
    await until(async () => (await sandboxes()).length === 0, "the sandbox to go");
    await thaw(["create", "--name", "nogit"]);
    await thaw(["exec", "nogit", "--", "sh", "-c", "rm $(command -v git)"]);
    await thaw(["freeze", "nogit", "nogit:1"]);
    await thaw(["rm", "nogit"]);
    const none = await job.step({ with: { run: "true", repository: "eve/shop", snapshot: "nogit:1" } });
    expect(said(none)).toMatch(/the sandbox has no git, which `repository` needs \(.*packages: \[git\]/);
    expect(none.outputs.outcome).toBe("error");
    expect(await sandboxes()).toEqual([]);
    await thaw(["snapshot", "rm", "nogit:1"]);
  });
});
