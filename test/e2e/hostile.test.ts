/** Root in a sandbox is the attacker: what it does ends with it, and its neighbour and the daemon go on. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { type ApiRequest, expectSound, type OpenApi, requests, send } from "../helpers/api-fuzz.ts";
import {
  BARE_FRAME,
  CONSOLE_FLOOD,
  FORK_BOMB,
  flood,
  STOLEN_PORT,
  STRANGE_FRAME,
  UNREAD_OUTPUT,
} from "../helpers/stolen-port.ts";
import {
  daemonPid,
  isAlive,
  machineProcesses,
  type SandboxRow,
  thaw,
  thawBin,
  thawEnv,
  thawJson,
  until,
} from "../helpers/thaw.ts";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

let socket: string;
let daemon: number;

const rows = async () => (await ask<{ sandboxes: SandboxRow[] }>("GET", "/v1/sandboxes")).body.sandboxes;
const rssMib = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon}/status`, "utf8"))?.[1]) / 1024;

/** CPU time that the daemon has used, in clock ticks of 10 ms. */
function daemonCpuMs(): number {
  const fields = readFileSync(`/proc/${daemon}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function ask<T = unknown>(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T; text: string }> {
  const bytes = body === undefined ? null : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const contentType = Buffer.isBuffer(body) ? "application/octet-stream" : "application/json";
  const { status, text } = await send(socket, { method, path, body: bytes, contentType });
  return { status, text, body: (text.startsWith("{") && !text.includes("\n{") ? JSON.parse(text) : {}) as T };
}

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  expect((await thaw(["create", "--name", "neighbour"])).exitCode).toBe(0);
  ({ socket } = await thawJson<{ socket: string }>(["daemon", "status"]));
  daemon = await daemonPid();
  return async () => {
    await thaw(["rm", "neighbour"]);
  };
});

/** After each attack: the same daemon, the neighbour answers, and nothing else is left. */
afterEach(async () => {
  expect((await ask<{ pid: number }>("GET", "/v1/info")).body.pid).toBe(daemon);
  expect((await thaw(["exec", "neighbour", "--", "echo", "here"])).stdout).toBe("here\n");
  await until(async () => (await rows()).every(({ name }) => name === "neighbour"), "the others to go");
});

describe("inside", () => {
  test("a fork bomb ends with its time", async () => {
    const { exitCode, stderr } = await thaw(["run", "--timeout", "4s", "--", "sh", "-c", FORK_BOMB], {
      timeout: 200_000,
    });
    expect(exitCode, String(stderr)).toBe(124);
  });

  test("hundreds of processes end with their command's time", async () => {
    const bomb =
      "for (1..300) { my $p = fork; if (defined $p && !$p) { $SIG{TERM} = 'IGNORE'; sleep 1000; exit } } print qq(up\\n); sleep 1000";
    const { exitCode, stdout } = await thaw(
      ["run", "--timeout", "12s", "--", "perl", "-e", `$| = 1; ${bomb}`],
      { timeout: 200_000 },
    );
    expect([exitCode, stdout]).toEqual([124, "up\n"]);
  });

  test("memory: what takes it all is killed, said to be, and the sandbox lives on", async () => {
    expect((await thaw(["create", "--name", "hungry"])).exitCode).toBe(0);
    const { exitCode, stderr } = await thaw(["exec", "hungry", "--", "tail", "/dev/zero"], {
      timeout: 200_000,
    });
    expect([exitCode, String(stderr)]).toEqual([137, expect.stringMatching(/out of memory/)]);
    const { body: sandbox } = await ask<{ execs: { exit: { oom: boolean; signal: string } }[] }>(
      "GET",
      "/v1/sandboxes/hungry",
    );
    expect(sandbox.execs[0]?.exit).toMatchObject({ oom: true, signal: "SIGKILL" });
    expect((await thaw(["exec", "hungry", "--", "echo", "alive"])).stdout).toBe("alive\n");
    await thaw(["rm", "hungry"]);
  });

  test("disk: full is the guest's own matter", async () => {
    const script =
      "fallocate -l 3G /a; for n in 1 2 3 4 5 6 7 8; do fallocate -l 200M /b$n; done; head -c 100000000 /dev/urandom > /c; echo; rm -f /a /b* /c; echo still-here";
    const { stdout, stderr, exitCode } = await thaw(["run", "--", "sh", "-c", script], { timeout: 200_000 });
    expect([exitCode, stdout]).toEqual([0, "\nstill-here\n"]);
    expect(String(stderr)).toMatch(/No space left/);
  });

  test("a clock set far off: the host's deadline holds", async () => {
    const started = Date.now();
    const { exitCode, stdout } = await thaw(
      [
        "run",
        "--timeout",
        "4s",
        "--",
        "sh",
        "-c",
        "date -s 2001-01-01 +%Y; date -s 2037-01-01 +%Y; sleep 600",
      ],
      { timeout: 200_000 },
    );
    expect([exitCode, stdout]).toEqual([124, "2001\n2037\n"]);
    expect(Date.now() - started).toBeLessThan(120_000);
  });

  test("its agent is process 1: neither killed nor stopped from within", async () => {
    const { stdout, exitCode } = await thaw([
      "run",
      "--",
      "sh",
      "-c",
      "kill -9 1; kill -STOP 1; kill -SEGV 1; sleep 0.3; echo alive",
    ]);
    expect([exitCode, stdout]).toEqual([0, "alive\n"]);
  });

  test("garbage into the agent's port, through the agent's own descriptor: the session ends and says what came", async () => {
    const { exitCode, stderr } = await thaw(
      ["run", "--timeout", "60s", "--", "perl", "-e", `${STOLEN_PORT} put("garbage" x 100); sleep 100;`],
      { timeout: 200_000 },
    );
    expect([exitCode, String(stderr)]).toEqual([
      125,
      expect.stringMatching(/bad (magic|length|reserved|trailer) in a frame from the guest/),
    ]);
  });

  test.each([
    ["of another session", STRANGE_FRAME],
    ["without bytes", BARE_FRAME],
  ])("a flood of sound frames %s: it is read slowly, and costs the daemon little", async (_what, frame) => {
    const client = execa(
      process.execPath,
      [thawBin, "run", "--timeout", "9s", "--", "perl", "-e", flood(frame)],
      {
        env: thawEnv(),
        reject: false,
      },
    );
    await Promise.race([once(client.stdout, "data"), client]);
    const started = { at: performance.now(), cpuMs: daemonCpuMs() };
    // Neighbours are served meanwhile.
    for (let n = 0; n < 3; n++)
      expect((await thaw(["exec", "neighbour", "--", "echo", "here"])).stdout).toBe("here\n");
    await sleep(3000);
    const share = (daemonCpuMs() - started.cpuMs) / (performance.now() - started.at);
    const { stderr } = await client;
    // Killed in the middle of a frame, it leaves half of one before the agent's next.
    expect(String(stderr)).toMatch(/timed out|bad \w+ in a frame from the guest/);
    // Not a matter of speed: without a budget the daemon takes all of a processor that it gets.
    expect(share).toBeLessThan(0.5);
  });

  test("the port taken away: the time limit needs no word of the guest", async () => {
    const script =
      "cd /sys/bus/virtio/drivers/virtio_console; for d in virtio*; do echo $d > unbind; done; sleep 300";
    const { exitCode, stderr } = await thaw(["run", "--timeout", "3s", "--", "sh", "-c", script], {
      timeout: 200_000,
    });
    expect([124, 125], String(stderr)).toContain(exitCode);
    expect(String(stderr)).toMatch(/thaw/);
  });

  test("the device pulled out of the bus", async () => {
    const { exitCode, stderr } = await thaw(
      [
        "run",
        "--timeout",
        "3s",
        "--",
        "sh",
        "-c",
        "echo 1 > /sys/bus/pci/devices/0000:00:03.0/remove; sleep 300",
      ],
      { timeout: 200_000 },
    );
    expect([124, 125], String(stderr)).toContain(exitCode);
  });
});

describe("floods", () => {
  test("output nobody reads: the command waits, the daemon holds little", async () => {
    const before = rssMib();
    const client = execa(process.execPath, [thawBin, "run", "--", "sh", "-c", UNREAD_OUTPUT], {
      env: thawEnv(),
      reject: false,
      buffer: false,
      stdout: "pipe",
      stderr: "pipe",
    });
    await until(async () => (await rows()).length === 2, "the run to start");
    await sleep(4000);
    expect(rssMib() - before).toBeLessThan(120);
    expect((await thaw(["exec", "neighbour", "--", "echo", "here"])).stdout).toBe("here\n");
    client.kill("SIGKILL");
    await client;
  });

  test("a client that neither reads nor acknowledges is dropped", async () => {
    const before = rssMib();
    const channel = new WebSocket(`ws+unix://${socket}:/v1/run`);
    const closed = new Promise<void>((resolve) => channel.once("close", () => resolve()));
    channel.on("error", () => {});
    await new Promise<void>((resolve) => channel.once("open", () => resolve()));
    channel.send(Buffer.from(`\x03${JSON.stringify({ create: {}, exec: { argv: ["cat", "/dev/zero"] } })}`));
    channel.pause();
    await until(async () => (await rows()).length === 2, "the run to start");
    await until(async () => (await rows()).length === 1, "it to be dropped");
    expect(rssMib() - before).toBeLessThan(150);
    channel.resume();
    channel.terminate();
    await closed;
  });

  test("a watcher that acknowledges gets all of it, at its own pace", async () => {
    const { body } = await ask<{ id: string }>("POST", "/v1/sandboxes/neighbour/execs", {
      argv: ["sh", "-c", "sleep 1; head -c 12000000 /dev/zero"],
    });
    const channel = new WebSocket(`ws+unix://${socket}:/v1/sandboxes/neighbour/execs/${body.id}/attach`);
    let got = 0;
    channel.on("message", (message: Buffer) => {
      if (message[0] !== 1) return;
      got += message.length - 1;
      const out = got;
      setTimeout(
        () =>
          channel.readyState === channel.OPEN &&
          channel.send(Buffer.from(`\x03${JSON.stringify({ type: "ack", out, err: 0 })}`)),
        20,
      );
    });
    channel.on("open", () =>
      channel.send(Buffer.from(`\x03${JSON.stringify({ type: "ack", out: 0, err: 0 })}`)),
    );
    await new Promise<void>((resolve) => channel.once("close", () => resolve()));
    expect(got).toBe(12_000_000);
  });

  test("the console", async () => {
    const before = rssMib();
    const { exitCode } = await thaw(["run", "--timeout", "3s", "--", "sh", "-c", CONSOLE_FLOOD]);
    expect(exitCode).toBe(124);
    expect(rssMib() - before).toBeLessThan(60);
  });

  test("execs that come and go", async () => {
    const before = rssMib();
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => ask("POST", "/v1/sandboxes/neighbour/execs", { argv: ["true"] })),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    }
    const { body } = await ask<{ execs: unknown[] }>("GET", "/v1/sandboxes/neighbour");
    expect(body.execs.length).toBeGreaterThanOrEqual(60);
    expect(rssMib() - before).toBeLessThan(60);
  });
});

describe("names and paths", () => {
  test.each([
    ["POST", "/v1/sandboxes", { name: "../../x" }],
    ["POST", "/v1/snapshots/base/tags", { tag: "../x" }],
    ["POST", "/v1/snapshots/base/tags", { tag: ".hidden" }],
    ["POST", "/v1/sandboxes/neighbour/execs", { id: "../x", argv: ["true"] }],
    ["POST", "/v1/sandboxes/neighbour/execs", { argv: ["a\0b"] }],
    ["POST", "/v1/sandboxes/neighbour/execs", { argv: [] }],
    ["GET", "/v1/sandboxes/neighbour/files?path=etc/passwd", undefined],
    ["GET", "/v1/snapshots/%zz", undefined],
  ])("%s %s %j is a usage error", async (method, path, body) => {
    const answer = await ask<{ error: { code: string } }>(method, path, body);
    expect([answer.status, answer.body.error?.code]).toEqual([400, "usage"]);
  });

  test.each([
    "..",
    "%2e%2e",
    "..%2f..%2faudit.jsonl",
    "%2e%2e%2fbuilds",
    "manifest.json",
    "..%5c..",
    "%00",
    ".",
  ])("no snapshot or sandbox is %s", async (name) => {
    for (const kind of ["snapshots", "sandboxes"])
      expect((await ask("GET", `/v1/${kind}/${name}`)).status).toBe(404);
  });

  test("an empty name names nothing, though there is only one", async () => {
    for (const path of ["/v1/sandboxes/", "/v1/snapshots/"])
      expect((await ask("DELETE", path)).status).toBeGreaterThanOrEqual(400);
    for (const path of ["/v1/sandboxes//pause", "/v1/sandboxes//execs"])
      expect((await ask("POST", path, { argv: ["true"] })).status).toBeGreaterThanOrEqual(400);
    expect((await rows()).map(({ name, state }) => `${name} ${state}`)).toEqual(["neighbour running"]);
  });

  test("a command larger than the guest takes is refused, and said to be", async () => {
    const answer = await ask<{ error: { code: string; message: string } }>(
      "POST",
      "/v1/sandboxes/neighbour/execs",
      { argv: ["echo", "x".repeat(131_072)] },
    );
    expect([answer.status, answer.body.error?.code]).toEqual([400, "usage"]);
    expect(answer.body.error.message).toContain("argument 1 has 131072 bytes; the limit is 131071");
  });

  test("a tree that leaves its folder is refused", async () => {
    const record = Buffer.alloc(27 + 9);
    record[0] = 2;
    record.writeUInt16LE(9, 25);
    record.write("../../bad", 27);
    const answer = await ask<{ error: { code: string } }>(
      "PUT",
      "/v1/sandboxes/neighbour/tree?path=/srv/a/b",
      Buffer.concat([record, Buffer.alloc(33)]),
    );
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect((await thaw(["exec", "neighbour", "--", "ls", "/srv"])).stdout).not.toMatch(/bad/);
  });

  test.each([
    ["no body", null, "", 409],
    ["an empty body", Buffer.alloc(0), "application/octet-stream", 409],
    ["text", Buffer.from("{"), "text/plain", 409],
    ["JSON", Buffer.from("[1]"), "application/json", 409],
  ])(
    "a tree that is none (%s) is the request's fault, not the agent's",
    async (_what, body, contentType, status) => {
      const path = "/v1/sandboxes/neighbour/tree?path=/tmp/none";
      const answer = await send(socket, { method: "PUT", path, body, contentType });
      expect([answer.status, JSON.parse(answer.text).error.code], answer.text).toEqual([
        status,
        "exec-refused",
      ]);
      expect(answer.text).toMatch(/middle of a record|record/);
    },
  );

  test("a file is written as it is sent, whatever its type; without a body it is empty", async () => {
    const put = (body: Buffer | null, contentType: string) =>
      send(socket, {
        method: "PUT",
        path: "/v1/sandboxes/neighbour/files?path=/tmp/typed",
        body,
        contentType,
      });
    for (const [text, type] of [
      ["[1, 2]", "application/json"],
      ["\u0001{", ""],
      ["plain", "text/plain"],
    ] as const) {
      expect((await put(Buffer.from(text), type)).status).toBe(204);
      expect((await ask("GET", "/v1/sandboxes/neighbour/files?path=/tmp/typed")).text).toBe(text);
    }
    expect((await put(null, "")).status).toBe(204);
    expect((await ask("GET", "/v1/sandboxes/neighbour/files?path=/tmp/typed")).text).toBe("");
  });

  test(`anything asked about a sandbox that runs (FUZZ_SEED=${seed})`, async () => {
    const document = (await ask<OpenApi>("GET", "/v1/openapi.json")).body;
    const except = [
      "post /v1/shutdown",
      "post /v1/templates/build",
      "post /v1/sandboxes",
      "get /v1/doctor",
      "post /v1/snapshots/{snapshot}/verify",
      "post /v1/sandboxes/{sandbox}/pause",
      // Each makes machines or a snapshot, in seconds: a hundred of them test nothing more.
      "post /v1/sandboxes/{sandbox}/freeze",
      "post /v1/sandboxes/{sandbox}/fork",
      "post /v1/sandboxes/{sandbox}/captures",
      // They answer when something happens.
      "get /v1/events",
      "get /v1/sandboxes/{sandbox}/execs/{exec}/logs",
      "get /v1/sandboxes/{sandbox}/wait",
    ];
    const destroys = ({ method, path }: ApiRequest) =>
      method === "DELETE" && /\/(neighbour|base)$/.test(path);
    await fc.assert(
      fc.asyncProperty(
        requests(document, { names: ["neighbour", "base"], except }).filter((asked) => !destroys(asked)),
        async (asked) => {
          expectSound(await send(socket, asked));
        },
      ),
      { seed, numRuns: 300 },
    );
    const [row] = await rows();
    expect(row).toMatchObject({ name: "neighbour", state: "running" });
  });
});

test("a listing larger than a pipe holds comes whole", async () => {
  for (let n = 0; n < 28; n++)
    await ask("POST", "/v1/sandboxes/neighbour/execs", { argv: ["true", "x".repeat(15_000)] });
  expect(JSON.stringify(await thawJson<SandboxRow[]>(["ls"])).length).toBeGreaterThan(400_000);
});

test("nothing outlives its sandbox", async () => {
  const { body } = await ask<{ id: string }>("GET", "/v1/sandboxes/neighbour");
  const [pid] = await machineProcesses(body.id);
  expect(isAlive(pid ?? 0)).toBe(true);
  expect((await thaw(["rm", "neighbour"])).exitCode).toBe(0);
  expect(isAlive(pid ?? 0)).toBe(false);
  expect((await thaw(["create", "--name", "neighbour"])).exitCode).toBe(0);
});
