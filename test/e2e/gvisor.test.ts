/** `--runner gvisor`, from the command line to the sandbox. Where gVisor can't run, all is skipped with the reason. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createGvisorRunner } from "../../runners/gvisor/runner.ts";
import { Job } from "../action-runner/job.ts";
import { makeReleaseFolder } from "../action-runner/release-folder.ts";
import { file, folder, layer, link, pushImage } from "../helpers/image.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, type SandboxRow, thaw, thawEnv, thawJson, until } from "../helpers/thaw.ts";

const dir = mkdtempSync("/tmp/thaw-gvisor-");
const COMMANDS = [
  "cat",
  "echo",
  "hostname",
  "grep",
  "ls",
  "nc",
  "nproc",
  "ps",
  "sh",
  "sleep",
  "sync",
  "true",
];
const PATH = "PATH=/bin";
const runner = createGvisorRunner({
  home: testHome(),
  agentPath: resolve("dist/agent/thaw-agent"),
  keeperPath: resolve("dist/agent/thaw-keeper"),
  runtimeRoot: dir,
});
const [probe] = await runner.probe();
const can = probe?.state === "ok" || probe?.hint?.includes("--runner gvisor") === true;
if (!can && process.env.REQUIRE_GVISOR === "1") throw new Error(`gvisor can't run here: ${probe?.detail}`);

describe.skipIf(!can)(`thaw with the runner gvisor${can ? "" : ` (${probe?.detail})`}`, () => {
  const recipe = join(dir, "template.yaml");
  const from = ["--template", recipe];
  const gvisor = ["--runner", "gvisor", ...from];
  let registry: Registry;

  const out = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await thaw(args);
    expect(exitCode, String(stderr)).toBe(0);
    return String(stdout);
  };
  const rows = () => thawJson<SandboxRow[]>(["ls"]);

  beforeAll(async () => {
    registry = await startRegistry(join(dir, "registry"), "docker-registry", { open: true });
    const folders = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"].map((name) => folder(name));
    const busybox = file("bin/busybox", readFileSync("/bin/busybox"), { mode: 0o755 });
    const commands = COMMANDS.map((name) => link(`bin/${name}`, "busybox"));
    await pushImage(
      { ...registry, name: "box" },
      { layers: [layer(...folders, busybox, ...commands)], config: { Env: [PATH] } },
    );
    const text = `name: box\nfrom: oci:${registry.host}/box\nresources: { memory: 128M, disk: 64M }\nsetup:\n  - echo step > /root/step\n`;
    writeFileSync(recipe, text);
  });
  afterAll(async () => {
    await thaw(["rm", "--all"]);
    await registry.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test("runs commands in a sandbox that is shown as gVisor's, with streams, exit codes and a template's steps", async () => {
    const ran = await thaw(["run", ...gvisor, "--", "sh", "-c", "cat /root/step; echo err >&2; exit 7"]);
    expect([ran.exitCode, ran.stdout]).toEqual([7, "step\n"]);
    expect(ran.stderr).toContain("err");
    expect(await out("snapshot", "ls")).toMatch(/^box-gvisor /m);
    // The limits of the sandbox, not the host's.
    const limits = "nproc; grep MemTotal /proc/meminfo";
    expect(await out("run", ...gvisor, "--", "sh", "-c", limits)).toMatch(/^1\nMemTotal: +131072 kB\n$/);
    expect(await out("doctor")).toMatch(/✓ gvisor .*runsc/);
  });

  test("a sandbox is paused, forked, stopped, woken and frozen with its files and programs; a killed daemon costs it nothing", async () => {
    await out("create", ...gvisor, "--name", "gv");
    expect((await rows()).find(({ name }) => name === "gv")).toMatchObject({ isolation: "gvisor" });
    writeFileSync(join(dir, "sent"), "sent\n");
    await out("cp", join(dir, "sent"), "gv:/root/sent");
    await out("exec", "--detach", "gv", "--", "sleep", "12345");
    await out("pause", "gv");
    await out("resume", "gv");
    await killDaemon();
    expect(await out("exec", "gv", "--", "ps")).toContain("sleep 12345");
    await out("fork", "gv", "--name", "twin");
    const twin = (await rows()).find(({ name }) => name.startsWith("twin"))?.name ?? "";
    expect(
      await out("exec", twin, "--", "sh", "-c", "cat /root/sent; hostname; ps | grep -q '[s]leep 12345'"),
    ).toBe(`sent\n${twin}\n`);
    await out("stop", "gv");
    expect(await out("exec", "gv", "--", "cat", "/root/sent", "/root/step")).toBe("sent\nstep\n");
    await out("freeze", "gv", "gv-frozen");
    expect(await out("run", "--snapshot", "gv-frozen", "--", "cat", "/root/sent")).toBe("sent\n");
    await out("rm", "gv", twin);
  });

  test("connections leave by the policy, also after a fork while one is open; what is not allowed is reset and noted", async () => {
    const server = createServer((socket) => socket.on("error", () => {}).write("hello\n")).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const reach = (name: string, where: string) =>
      out("exec", name, "--", "sh", "-c", `nc -w 5 ${where} </dev/null`);
    try {
      await out("create", ...gvisor, "--name", "net", "--allow", `host:${port}`);
      const host = `host.thaw.internal ${port}`;
      expect(await reach("net", host)).toBe("hello\n");
      await out(
        "exec",
        "--detach",
        "net",
        "--",
        "sh",
        "-c",
        // What is sent never ends, so the connection stays open.
        `sleep 600 | nc ${host} > /root/open; echo ended >> /root/open`,
      );
      await until(
        async () => (await out("exec", "net", "--", "cat", "/root/open")) === "hello\n",
        "a connection",
      );
      await out("fork", "net", "--name", "far");
      const far = (await rows()).find(({ name }) => name.startsWith("far"))?.name ?? "";
      expect(await reach(far, host)).toBe("hello\n");
      expect(await reach("net", host)).toBe("hello\n");
      expect(await out("exec", "net", "--", "cat", "/root/open")).toBe("hello\n");
      for (const where of ["example.test 80", "192.0.2.1 81"])
        expect(await reach(far, `${where}; true`)).not.toContain("hello");
      expect(await out("network", "log", far, "--denied")).toMatch(/example\.test:80[\s\S]*192\.0\.2\.1:81/);
      expect(await out("network", "log", "net")).toMatch(/host\.thaw\.internal:\d+ tcp by nc /);
    } finally {
      await out("rm", "--all");
      server.close();
    }
  });

  test("config.yaml makes it the runner where nothing else is asked for", async () => {
    const config = join(testHome(), "config.yaml");
    writeFileSync(config, "runner: { default: gvisor }\n");
    try {
      await out("create", ...from, "--name", "by-default");
      expect((await rows()).find(({ name }) => name === "by-default")).toMatchObject({ isolation: "gvisor" });
    } finally {
      rmSync(config);
      await out("rm", "by-default");
    }
  });

  test("a failure is captured with its memory, and replayed with what ran", async () => {
    const failing = "x=41; echo $x > /tmp/x; sleep 54321";
    const run = ["run", ...gvisor, "--capture", "on-failure", "--timeout", "6s", "--", "sh", "-c", failing];
    const failed = await thaw(run);
    expect(failed.exitCode).toBe(124);
    const id = /thaw replay (fail-\w+)/.exec(String(failed.stderr))?.[1] ?? "";
    await until(async () => (await thaw(["capture", "check", id])).exitCode === 0, "the capture");
    const replayed = await out("replay", id, "--", "sh", "-c", "cat /tmp/x; ps | grep -q '[s]leep 54321'");
    expect(replayed).toBe("41\n");
    const check = await out("capture", "check", id);
    expect(check).toMatch(/^memory +yes/m);
    expect(check).toMatch(/^disk +no .*runner gvisor/m);
  });

  test("a step of the Action names it: its machine is gVisor's, what is not supported fails the step before one is made", async () => {
    using release = makeReleaseFolder();
    await using job = new Job({ action: release.path, env: thawEnv() });
    const step = (more: Record<string, string>) =>
      job.step({ with: { template: recipe, runner: "gvisor", run: "cat /root/step; exit 3", ...more } });
    const failed = await step({ capture: "on-failure" });
    expect(failed).toMatchObject({ conclusion: "failure", exitCode: 3 });
    expect(failed.log).toContain("step");
    expect(failed.summary).toMatch(/isolated by gvisor/);
    const { capture = "" } = failed.outputs;
    expect(await out("replay", capture, "--", "cat", "/workspace/hello.sh")).toContain("hello from");
    const refused = await step({ memory: "256M" });
    expect(refused.conclusion).toBe("failure");
    expect([...refused.log, ...refused.honoured.map(({ data }) => data)].join("\n")).toContain(
      "can't be booted with other resources",
    );
    expect(await rows()).toEqual([]);
  });

  test("what it can't do is refused before anything is made, with the runner that can", async () => {
    const before = [await rows(), await out("snapshot", "ls", "--quiet")];
    const refused = async (why: RegExp, ...args: string[]): Promise<void> => {
      const { exitCode, stderr } = await thaw(args);
      expect(exitCode, String(stderr)).not.toBe(0);
      expect(stderr).toMatch(why);
    };
    const command = ["--", "true"];
    await refused(/can't be booted with other resources/, "run", ...gvisor, "--memory", "256M", ...command);
    await refused(/no runner none here[\s\S]*qemu, gvisor/, "run", "--runner", "none", ...from, ...command);
    await refused(/made by runner gvisor/, "run", "--runner", "qemu", "--snapshot", "box-gvisor", ...command);
    expect([await rows(), await out("snapshot", "ls", "--quiet")]).toEqual(before);
  });
});
