/**
 * thaw under KVM, under systemd, and over reboots of its host: in an emulated machine whose CPU has virtualisation, so that it can be shown where
 * there is no KVM. The steps build on one another.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testHome } from "../helpers/test-home.ts";
import { thaw as onThisHost, type SandboxRow } from "../helpers/thaw.ts";
import { fillData, fillSuite, RUN_SUITE } from "./data.ts";
import { kvmImage } from "./image.ts";
import { type Answer, EmulatedMachine } from "./machine.ts";

/** Why no such machine can be made; undefined when it can. */
const missing = process.env.THAW_KVM_MISSING ?? (process.getuid?.() === 0 ? undefined : "it is made as root");
/** The short form leaves these out: each takes minutes, and what comes after does not build on them. */
const short = process.env.THAW_KVM_SHORT === "1";
const longTest = test.skipIf(short);
const TEMPLATE = "test/kvm/template.yaml";
const FROM = ["--snapshot", "small"];
const WAIT_MS = 600_000;

interface Row extends SandboxRow {
  frozen: boolean;
}

const NAME = "in an emulated machine with KVM";
describe.skipIf(missing !== undefined)(missing === undefined ? NAME : `${NAME} (${missing})`, () => {
  const dir = missing === undefined ? mkdtempSync("/tmp/thaw-kvm-machine-") : "";
  let machine: EmulatedMachine;
  let coldBootMs = 0;

  /** What a test measures is printed; no test fails on a clock. */
  const say = (line: string) => process.stdout.write(`nested KVM: ${line}\n`);
  const sh = (script: string): Promise<Answer> => machine.run(["sh", "-c", script]);
  const thaw = (...args: string[]): Promise<Answer> => machine.run(["thaw", ...args]);
  const ok = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await thaw(...args);
    expect(code, `thaw ${args.join(" ")}: ${err}\n${out}`).toBe(0);
    return out;
  };
  const inside = (sandbox: string, script: string) => ok("exec", sandbox, "--", "sh", "-c", script);
  const rows = async () => JSON.parse(await ok("ls", "--json")) as Row[];
  const row = async (name: string) => (await rows()).find((one) => one.name === name);
  /** Waits until `condition` holds in the machine. */
  const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
    const end = performance.now() + WAIT_MS;
    while (!(await condition())) {
      if (performance.now() < end) continue;
      throw new Error(`waited in vain for ${what}\n${(await sh("journalctl -u thaw -n 30")).out}`);
    }
  };
  const daemonPid = async () => (await sh("systemctl show --property MainPID --value thaw")).out;
  const machines = async () => (await sh("pgrep -f 'process=[t]haw-vm' | sort")).out;
  const freeze = async (name: string): Promise<void> => {
    if ((await row(name))?.state === "running") await ok("pause", name);
    await until(`${name} to be frozen`, async () => (await row(name))?.frozen === true);
  };
  /** What was published is whole: every byte of snapshots and captures; the captured machine goes on. */
  const expectWhole = async (...snapshots: string[]): Promise<void> => {
    for (const snapshot of snapshots) await ok("snapshot", "verify", snapshot);
    await ok("capture", "verify", "latest");
  };

  beforeAll(async () => {
    const built = await onThisHost(["template", "build", TEMPLATE]);
    expect(built.exitCode, String(built.stderr)).toBe(0);
    const image = await kvmImage();
    const data = async (folder: string): Promise<void> => {
      await fillData(folder, testHome());
      if (!short) fillSuite(folder, testHome());
    };
    machine = await EmulatedMachine.make({ image, dir, data });
    await machine.start();
  });
  afterAll(async () => {
    // Kept by hand, to look into it: ssh with its key and port.
    if (process.env.THAW_KEEP_HOME !== undefined) return;
    await machine?.cutPower();
    rmSync(dir, { recursive: true, force: true });
  });

  test("systemd runs the daemon: installed, enabled, its socket its group's, its journal its log", async () => {
    await ok("daemon", "install", "--system");
    await until("its socket", async () => {
      return (await sh("stat -c %a:%U:%G /run/thaw/thaw.sock")).out === "660:root:thaw";
    });
    expect((await sh("systemctl is-enabled thaw; systemctl is-active thaw")).out).toBe("enabled\nactive");
    await sh("useradd --groups thaw ann; useradd ben");
    const ann = await machine.run(["runuser", "-u", "ann", "--", "thaw", "ls", "--json"]);
    expect([ann.code, ann.out], ann.err).toEqual([0, "[]"]);
    const there = ["HOME=/tmp", "THAW_SOCKET=/run/thaw/thaw.sock"];
    const ben = await machine.run(["runuser", "-u", "ben", "--", "env", ...there, "thaw", "ls"]);
    expect(ben.code).toBe(125);
    expect(ben.err).toMatch(/not allowed to use the daemon's socket[\s\S]*hint: join the socket's group/);
    const ask = `http.get({ socketPath: "/run/thaw/thaw.sock", path: "/v1/x" }, (r) => console.log(r.headers["thaw-restart"]))`;
    expect((await machine.run(["/data/node", "-e", ask])).out).toBe("sudo systemctl restart thaw.service");
    await until("its journal", async () => (await sh("journalctl -u thaw")).out.includes('"msg":"ready"'));
  });

  test("KVM is proven by a guest that starts, a template is built, and a run is labelled kvm", async () => {
    const { code, err } = await thaw("template", "build", "/data/template.yaml");
    expect(code, err).toBe(0);
    const [, minutes = 0, seconds] = /small +boot +(?:(\d+)m )?([\d.]+)s/.exec(err) ?? [];
    coldBootMs = (Number(minutes) * 60 + Number(seconds)) * 1000;
    expect(coldBootMs, err).toBeGreaterThan(0);
    expect(err).not.toContain("emulated");
    expect(await ok("doctor")).toMatch(/kvm .*tested with a guest at .*, CPU model qemu64-v1/);
    const ran = await thaw(
      "run",
      ...FROM,
      "--",
      "sh",
      "-c",
      "uname -r; grep -o hypervisor /proc/cpuinfo; exit 7",
    );
    expect([ran.code, ran.out], ran.err).toEqual([7, expect.stringMatching(/^6\.1\.\S+\nhypervisor$/)]);
    await ok("create", ...FROM, "--name", "a");
    expect(await ok("ls")).toMatch(/\ba\b.* kvm\b/);
    expect((await row("a"))?.isolation).toBe("kvm");
  });

  test("a thaw is several times as fast as a cold boot of the same machine", async () => {
    const times = new Map<string, number>();
    for (const line of (await ok("events", "--json")).split("\n")) {
      const { type, name, time } = JSON.parse(line) as { type: string; name: string; time: string };
      if (name === "a") times.set(type, Date.parse(time));
    }
    const thawMs = (times.get("sandbox.running") ?? Number.NaN) - (times.get("sandbox.creating") ?? 0);
    const ratio = (coldBootMs / thawMs).toFixed(1);
    say(`thaw ${thawMs} ms, cold boot ${coldBootMs} ms: ${ratio} times as fast`);
    expect(thawMs).toBeGreaterThan(0);
  });

  test("a machine that runs is forked and frozen; its copies go on where it was", async () => {
    await inside("a", "echo state > /dev/shm/s; nohup sleep 99999 >/dev/null 2>&1 </dev/null &");
    const forked = JSON.parse(await ok("fork", "a", "--name", "b", "--json"));
    expect(forked.method).toBe("difference");
    say(`a fork's pause ${Math.round(forked.pauseMs)} ms`);
    expect(await inside("b-1", "cat /dev/shm/s; pgrep -c sleep; hostname")).toBe("state\n1\nb-1");
    await ok("rm", "b-1");
    await ok("freeze", "a", "mine:1");
    const look = ["sh", "-c", "cat /dev/shm/s; pgrep -c sleep"];
    expect(await ok("run", "--snapshot", "mine:1", "--", ...look)).toBe("state\n1");
  });

  test("a failure is captured, verified, replayed and run again", async () => {
    const fail = ["sh", "-c", "echo x > /dev/shm/evidence; exit 3"];
    const failed = await thaw("run", ...FROM, "--capture", "on-failure", "--", ...fail);
    expect(failed.code, failed.err).toBe(3);
    expect(await ok("replay", "latest", "--", "cat", "/dev/shm/evidence")).toBe("x");
    await ok("capture", "verify", "latest");
    expect(await ok("rerun", "latest", "-n", "2")).toMatch(/2 of 2 failed/);
  });

  longTest(
    "systemd starts a killed daemon again, stops and starts it: machines and commands go on",
    async () => {
      const tick = "while :; do echo tick >> /dev/shm/ticks; sleep 1; done";
      await ok("exec", "-d", "a", "--", "sh", "-c", tick);
      const [before, first] = [await machines(), await daemonPid()];
      await sh(`kill -KILL ${first}`);
      await until("another daemon", async () => !["0", first].includes(await daemonPid()));
      expect(await inside("a", "cat /dev/shm/s")).toBe("state");
      await sh("systemctl stop thaw");
      expect((await thaw("ls")).err).toMatch(/systemctl/);
      expect(await machines()).toBe(before);
      await sh("systemctl start thaw");
      const compare = "a=$(wc -l < /dev/shm/ticks); sleep 3; [ $(wc -l < /dev/shm/ticks) -gt $a ]";
      expect(await inside("a", `${compare} && echo it goes on`)).toBe("it goes on");
      expect(await machines()).toBe(before);
    },
  );

  longTest(
    "the conformance suite passes",
    async () => {
      const { code, out, err } = await machine.run(["sh", "-c", RUN_SUITE], { timeoutMs: 3_600_000 });
      say(out.split("\n").slice(-6).join("\n"));
      expect(code, `${out.slice(-10_000)}\n${err.slice(-5000)}`).toBe(0);
    },
    3_700_000,
  );

  test("the host is rebooted: what was frozen comes back, the rest is told, what was published is whole", async () => {
    await ok("create", ...FROM, "--name", "cold", "--stop-after", "1s");
    await inside("cold", "echo kept > /dev/shm/s");
    await ok("create", ...FROM, "--name", "still");
    await ok("pause", "still");
    await freeze("cold");
    await machine.reboot();
    await until("the daemon", async () => (await thaw("ls")).code === 0);
    const told = async () => (await rows()).filter(({ state }) => state === "failed").length;
    await until("both to be told", async () => (await told()) === 2);
    for (const name of ["a", "still"]) expect((await row(name))?.reason).toMatch(/the host was restarted/);
    expect((await sh("systemctl --failed --quiet")).out).toBe("");
    expect(await row("cold")).toMatchObject({ state: "stopped", frozen: true });
    expect(await inside("cold", "cat /dev/shm/s; hostname")).toBe("kept\ncold");
    expect((await row("cold"))?.isolation).toBe("kvm");
    await ok("rm", "a", "still");
    await expectWhole("small", "mine:1");
  });

  longTest("the host loses its power: the same, and what was being made is whole or not there", async () => {
    await freeze("cold");
    await ok("create", ...FROM, "--name", "hot");
    await ok("freeze", "hot", "mine:2");
    await sh(
      "nohup thaw freeze hot mine:3 >/dev/null 2>&1 & while ! ls /var/lib/thaw/builds | grep -q .; do :; done",
    );
    // What was found out is of another kernel afterwards, as when an upgrade was waiting for the next boot.
    await sh("sed -i '/\"key\"/s/6[.]12[.]/6.11./' /var/lib/thaw/host.json && sync /var/lib/thaw/host.json");
    await machine.cutPower();
    await machine.start();
    await until("the daemon", async () => (await thaw("ls")).code === 0);
    await until("it to be told", async () => (await row("hot"))?.state === "failed");
    expect((await row("hot"))?.reason).toContain("the host was restarted");
    expect(await inside("cold", "cat /dev/shm/s")).toBe("kept");
    await expectWhole("small", "mine:1", "mine:2");
    const interrupted = await thaw("snapshot", "verify", "mine:3");
    if (interrupted.code !== 0) expect(interrupted.err).toMatch(/no snapshot mine:3/);
    await until("nothing half made", async () => (await sh("ls /var/lib/thaw/builds")).out === "");
    expect(await ok("run", "--snapshot", "mine:2", "--", "echo", "fine")).toBe("fine");
  });
});
