/** Folders of a sandbox that survive it: kept as a layer of a disk, read by later sandboxes, by their forks and in captures of them. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CacheRequest, findPaths, type Sandbox, Thaw } from "../../client/index.ts";
import { smallHome } from "../helpers/small-home.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

const MAIN = "refs/heads/main";
let sdk: Thaw;
const inHome = () => readdirSync(join(testHome(), "caches")).filter((name) => !name.startsWith(".empty-"));

const connect = (home: string) => new Thaw(findPaths({ ...process.env, THAW_HOME: home }));

function cacheOf(more: Partial<CacheRequest> = {}): CacheRequest {
  return {
    ...{ repository: "github.com/acme/shop", read: [MAIN], write: MAIN, key: "k", restoreKeys: [] },
    ...{ paths: ["/workspace/node_modules", "/root/.npm"], ...more },
  };
}

const create = (more: Partial<CacheRequest> = {}) => sdk.sandboxes.create({ cache: cacheOf(more) });

async function sh(sandbox: Pick<Sandbox, "exec">, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await sandbox.exec(["sh", "-c", script]);
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

async function must(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await thaw(args);
  expect(exitCode, `thaw ${args.join(" ")}: ${stderr}`).toBe(0);
  return String(stdout).trim();
}

async function removeAll(): Promise<void> {
  for (const { id } of await sdk.caches.list()) await sdk.caches.remove(id);
}

beforeAll(async () => {
  await must("template", "build", "base");
  sdk = connect(testHome());
  await removeAll();
});
afterAll(async () => {
  await removeAll();
  await sdk.close();
});

describe("cached folders", () => {
  test("a later sandbox has what an earlier one left; two at once share it, and what they write reaches nobody else", async () => {
    const first = await create();
    expect(first.info.cache).toMatchObject({ key: "k", restored: null });
    await sh(
      first,
      "mkdir /root/.npm/deep; echo one >/root/.npm/deep/a; ln /root/.npm/deep/a /root/.npm/b; echo mod >/workspace/node_modules/m",
    );
    const { cache } = await first.saveCache();
    expect(cache).toMatchObject({ key: "k", scope: MAIN, repository: "github.com/acme/shop" });
    // After it was kept.
    await sh(first, "echo late >/root/.npm/late");
    await first.remove();

    // A spare of a pool has no disk for them: it is left to others.
    await sdk.pools.resize("base", { size: 1 });
    const isReady = async () => (await sdk.pools.list()).pools[0]?.ready === 1;
    await until(isReady, "a spare");
    const [second, third] = await Promise.all([create(), create()]);
    expect((await sdk.pools.list()).pools).toMatchObject([{ ready: 1, hits: 0 }]);
    await sdk.pools.setMode("off");
    expect(second.info.cache?.restored).toEqual({ id: cache?.id, key: "k", scope: MAIN });
    const look = "cat /root/.npm/deep/a /root/.npm/b /workspace/node_modules/m; ls -A /root/.npm";
    expect((await sh(second, look)).split("\n")).toEqual(["one", "one", "mod", "b", "deep"]);
    await sh(
      second,
      "rm -r /root/.npm/deep; echo two >/root/.npm/b; echo x >/workspace/node_modules/x; sync",
    );
    // It keeps nothing under a key that is there.
    expect(await second.saveCache()).toEqual({ cache: null, reason: "k is already saved" });
    expect((await sh(third, look)).split("\n")).toEqual(["one", "one", "mod", "b", "deep"]);
    await Promise.all([second.remove(), third.remove()]);

    // Removed while a sandbox has it: that one goes on.
    const fourth = await create();
    await must("cache", "rm", cache?.id ?? "");
    expect(inHome()).toEqual([]);
    expect((await sh(fourth, look)).split("\n")).toEqual(["one", "one", "mod", "b", "deep"]);
    await fourth.remove();
    const gone = await thaw(["cache", "rm", "nothing"]);
    expect([gone.exitCode, String(gone.stderr)]).toEqual([2, expect.stringContaining("no cache nothing")]);
  });

  test("a fork, a snapshot of it and a capture's replay have the folder", async () => {
    const first = await create({ key: "twins" });
    await sh(first, "echo kept >/root/.npm/a");
    await first.saveCache();
    await first.remove();

    const parent = await create({ key: "twins" });
    await sh(parent, "echo own >/root/.npm/own");
    const look = "cat /root/.npm/a /root/.npm/own";
    const { sandboxes } = await parent.fork({ count: 1 });
    const child = sandboxes[0] as Sandbox;
    expect(await sh(child, look)).toBe("kept\nown");
    expect((await sdk.sandboxes.get(child.id)).info.cache).toBeNull();
    await child.remove();

    const failed = await thaw(["exec", "--capture", "on-failure", parent.name, "--", "sh", "-c", "exit 3"]);
    expect(failed.exitCode).toBe(3);
    const { captures } = await sdk.captures.list();
    const capture = captures[0]?.id ?? "";
    await must("freeze", parent.name, "with-cache");
    await parent.remove();
    await removeAll();

    expect(await must("replay", capture, "--", "sh", "-c", look)).toBe("kept\nown");
    expect(await must("run", "--snapshot", "with-cache", "--", "sh", "-c", look)).toBe("kept\nown");
    const refused = await sdk.sandboxes.create({ source: { snapshot: "with-cache" }, cache: cacheOf() }).then(
      () => "made",
      (error: Error) => error.message,
    );
    expect(refused).toContain("was frozen from a sandbox");
    await must("snapshot", "rm", "with-cache");
    await must("capture", "rm", capture);
  });

  test("keys and scopes: the key itself, else the newest of a prefix; another repository's and another branch's are not seen", async () => {
    const keep = async (more: Partial<CacheRequest>, text: string) => {
      const sandbox = await create({ paths: ["/cached"], ...more });
      await sh(sandbox, `echo ${text} >/cached/text`);
      const saved = await sandbox.saveCache();
      await sandbox.remove();
      return saved;
    };
    await keep({ key: "dep-1" }, "one");
    await keep({ key: "dep-2" }, "two");
    await keep({ key: "dep-1", read: ["refs/heads/topic"], write: "refs/heads/topic" }, "topic");
    const read = async (more: Partial<CacheRequest>) => {
      const sandbox = await create({ paths: ["/cached"], ...more });
      const text = await sh(sandbox, "cat /cached/text || true");
      await sandbox.remove();
      return [sandbox.info.cache?.restored?.key ?? null, text];
    };
    const topic = ["refs/heads/topic", MAIN];
    expect(await read({ key: "dep-1" })).toEqual(["dep-1", "one"]);
    expect(await read({ key: "dep-3", restoreKeys: ["dep-"] })).toEqual(["dep-2", "two"]);
    expect(await read({ key: "dep-3" })).toEqual([null, ""]);
    expect(await read({ key: "dep-1", read: topic })).toEqual(["dep-1", "topic"]);
    expect(await read({ key: "dep-2", read: topic })).toEqual(["dep-2", "two"]);
    expect(await read({ key: "dep-1", repository: "github.com/acme/other" })).toEqual([null, ""]);
    const reader = await create({ key: "new", write: null });
    expect(await reader.saveCache()).toEqual({
      cache: null,
      reason: "this run may read caches, but not save them",
    });
    await reader.remove();
    expect((await thawJson<{ key: string }[]>(["cache", "ls"])).map(({ key }) => key).sort()).toEqual([
      "dep-1",
      "dep-1",
      "dep-2",
    ]);
    for (const paths of [["/proc/x"], ["/a", "/a/b"], ["/a/../b"], ["relative"], ["/a\n/b"]])
      await expect(create({ paths })).rejects.toMatchObject({ code: "usage" });
  });

  test("what a guest leaves there is its own affair: links out, devices, setuid, sparse files, many names; a ruined file system is refused", async () => {
    const hostile = await create({ key: "hostile" });
    await sh(
      hostile,
      "cd /root/.npm; ln -s / out; mknod disk b 254 0; cp /bin/sh suid; chmod 4755 suid; truncate -s 7T sparse; mkdir many; cd many; seq 20000 | xargs touch",
    );
    const { cache } = await hostile.saveCache();
    expect(cache?.storedBytes).toBeLessThan(100e6);
    await hostile.remove();
    const next = await create({ key: "hostile-2", restoreKeys: ["hostile"] });
    expect(
      await sh(next, "ls /root/.npm/many | wc -l; stat -c %A /root/.npm/suid; readlink /root/.npm/out"),
    ).toBe("20000\n-rwsr-xr-x\n/");
    await sdk.caches.remove(cache?.id ?? "");
    await sh(
      next,
      "cd /; umount /root/.npm /workspace/node_modules /var/lib/thaw/cache; dd if=/dev/urandom of=/dev/vda2 bs=1M count=4; sync",
    );
    const spoilt = (await next.saveCache()).cache?.id;
    await next.remove();
    const other = { key: "other", restoreKeys: ["hos"] };
    await expect(create(other)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(`cache ${spoilt} is removed`),
    });
    expect(await sdk.sandboxes.list()).toEqual([]);
    await (await create(other)).remove();
  });

  test("a daemon that is killed while it keeps folders leaves no half of them; the sandbox goes on and keeps them then", async () => {
    const sandbox = await create({ key: "killed" });
    await sh(sandbox, "head -c 60000000 /dev/urandom >/root/.npm/big");
    const before = inHome();
    const saving = sandbox.saveCache().then(
      () => "kept",
      () => "lost",
    );
    const drafts = () => inHome().filter((name) => name.startsWith("."));
    await until(() => drafts().length > 0, "it to be written");
    await killDaemon();
    await saving;
    await sdk.close();
    await must("ls");
    sdk = connect(testHome());
    expect(drafts()).toEqual([]);
    expect((await sdk.sandboxes.get(sandbox.id)).info.state).toBe("running");
    await sdk.sandboxes.at(sandbox.id).saveCache();
    expect(inHome().length).toBe(before.length + 1);
    await sdk.sandboxes.at(sandbox.id).remove();
  });

  test("prune removes those that are over the budget; the budget is one of config.yaml", async () => {
    const config = join(testHome(), "config.yaml");
    writeFileSync(config, "caches:\n  maxCount: 1\n");
    try {
      const { caches } = JSON.parse(await must("prune", "--dry-run", "--json")) as {
        caches: { reason: string }[];
      };
      expect(caches.map(({ reason }) => reason)).toContain("more than caches.maxCount (1)");
      expect(await must("prune")).toContain("cache");
      expect(await sdk.caches.list()).toHaveLength(1);
    } finally {
      writeFileSync(config, "");
    }
  });
});

describe.runIf(process.getuid?.() === 0)("on a small disk", () => {
  test("folders that there is no room for are not kept, and nothing is left of the try", async () => {
    await using home = await smallHome(420);
    mkdirSync(join(home.path, "caches"), { recursive: true });
    await using client = connect(home.path);
    const sandbox = await client.sandboxes.create({ cache: cacheOf({ key: "full" }) });
    await sh(sandbox, "head -c 70000000 /dev/urandom >/root/.npm/big; sync");
    await expect(sandbox.saveCache()).rejects.toMatchObject({ code: "no-space" });
    expect(await client.caches.list()).toEqual([]);
    expect(readdirSync(join(home.path, "caches")).filter((name) => !name.startsWith(".empty-"))).toEqual([]);
    expect(await sh(sandbox, "stat -c %s /root/.npm/big")).toBe("70000000");
    await sandbox.remove();
  });
});
