/** What somebody else removes, or a signal ends, while a request works with it: the request says so, and nothing is taken for damaged. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPaths, type Sandbox, Thaw } from "../../client/index.ts";
import { CaptureStore } from "../../engine/captures/store.ts";
import { openHome } from "../../engine/home.ts";
import { Quarantine } from "../../engine/state/quarantine.ts";
import { testHome } from "../helpers/test-home.ts";
import { standStill, thaw, until } from "../helpers/thaw.ts";

let sdk: Thaw;
beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  sdk = new Thaw(findPaths({ ...process.env, THAW_HOME: testHome() }));
});
afterAll(() => sdk.close());

const drafts = (): number =>
  readdirSync(join(testHome(), "captures")).filter((name) => name.startsWith(".capture-")).length;
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => ({ code: "none", message: "done" }),
    ({ code, message }: { code: string; message: string }) => ({ code, message }),
  );

interface Asked {
  sandbox: Sandbox;
  pid: number;
  failure: ReturnType<typeof failureOf>;
}

/** A capture that is under way; and a freeze and a fork, which nobody but the daemon knows to be. */
async function askAll(): Promise<[capture: Asked, ...others: Asked[]]> {
  const ask = async (work: (one: Sandbox) => Promise<unknown>): Promise<Asked> => {
    const sandbox = await sdk.sandboxes.create();
    const pid = await standStill(sandbox.id);
    return { sandbox, pid, failure: failureOf(work(sandbox)) };
  };
  const before = drafts();
  const capture = await ask((one) => one.capture());
  await until(() => drafts() > before, "the capture to be under way");
  const freeze = await ask((one) => one.freeze(`removal:${one.id}`));
  const fork = await ask((one) => one.fork());
  await sdk.host.info();
  return [capture, freeze, fork];
}

test("a sandbox that is removed while it is frozen, forked or captured: each request says that it was", async () => {
  const asked = await askAll();
  await Promise.all(asked.map(({ sandbox }) => sandbox.remove()));
  const [capture, ...others] = asked;
  const { name } = capture.sandbox.info;
  expect(await capture.failure).toEqual({ code: "cancelled", message: `sandbox ${name} was removed` });
  for (const { failure } of others) {
    const { code, message } = await failure;
    expect(["cancelled", "conflict", "not-found"], message).toContain(code);
    expect(message).toMatch(/was removed|is removing|no sandbox/);
  }
});

test("a hypervisor that a signal kills meanwhile: the request and the sandbox name the signal", async () => {
  const asked = await askAll();
  for (const { pid } of asked) process.kill(pid, "SIGKILL");
  for (const { sandbox, failure } of asked) {
    const { code, message } = await failure;
    expect(["machine-ended", "conflict"], message).toContain(code);
    expect(message).toMatch(/is failed.*QEMU of \S+ was killed by SIGKILL/);
    const reason = expect.stringMatching(/QEMU of \S+ was killed by SIGKILL$/);
    expect(await sandbox.refresh()).toMatchObject({ state: "failed", reason });
    await sandbox.remove();
  }
  expect((await asked[0].failure).code).toBe("machine-ended");
});

test("a capture that is removed while it is read is not damaged: it was removed", async () => {
  const run = await sdk.run({
    create: {},
    exec: { argv: ["sh", "-c", "echo x > /root/x; exit 3"], capture: "on-failure" },
  });
  const { captured } = await run.result;
  const { id } = captured as { id: string };
  // Waits until it is stored.
  expect(await sdk.captures.verify(id)).toMatchObject({ ok: true });
  const home = openHome(testHome());
  const store = new CaptureStore(home, new Quarantine(home.root), async () => {});
  const capture = await store.get(id);
  await sdk.captures.remove(id);
  const into = mkdtempSync(join(testHome(), "cache/removal-"));
  const gone = { code: "not-found", message: `capture ${id} was removed` };
  expect(await failureOf(store.verify(capture))).toEqual(gone);
  expect(await failureOf(store.request(capture))).toEqual(gone);
  expect(await failureOf(store.expand(capture, () => true, into))).toEqual(gone);
  expect(await failureOf(store.note(id, { pinned: true }))).toEqual(gone);
  expect(await failureOf(store.remove(id))).toEqual(gone);
  expect(await store.unreadable()).toEqual([]);
  rmSync(into, { recursive: true });
});
