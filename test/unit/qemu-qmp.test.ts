import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { QmpClient } from "../../runners/qemu/qmp.ts";
import { connectUnix } from "../../runners/qemu/unix-socket.ts";

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
let dir: string;
let path: string;
let server: Server;
const sockets: Socket[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "thaw-qmp-"));
  path = join(dir, "qmp.sock");
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server?.close();
  await rm(dir, { recursive: true });
});

interface Command {
  execute: string;
  id: number;
}

/** Greets, then answers each command with what `answer` returns. */
async function listen(
  answer: (command: Command, socket: Socket) => string | undefined,
  greeting = GREETING,
): Promise<void> {
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(greeting);
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const reply = answer(JSON.parse(line), socket);
        if (reply !== undefined) socket.write(reply);
      }
    });
  });
  server.listen(path);
  await once(server, "listening");
}

const ok = ({ id }: Command, value: unknown = {}): string => `${JSON.stringify({ return: value, id })}\r\n`;
const open = async (greetingTimeoutMs = 1000): Promise<QmpClient> =>
  QmpClient.open(await connectUnix(path), { greetingTimeoutMs });

test("commands sent at once get their own answers", async () => {
  await listen((command) => ok(command, { said: command.execute }));
  const qmp = await open();
  const answers = await Promise.all([qmp.execute("a"), qmp.execute("b"), qmp.execute("c")]);
  expect(answers).toEqual([{ said: "a" }, { said: "b" }, { said: "c" }]);
  qmp.close();
});

test("what QEMU refuses is an error that names the command", async () => {
  await listen((command) =>
    command.execute === "cont"
      ? `{"error": {"class": "GenericError", "desc": "no disk"}, "id": ${command.id}}\n`
      : ok(command),
  );
  const qmp = await open();
  await expect(qmp.execute("cont")).rejects.toThrow("QEMU refused cont: no disk");
  qmp.close();
});

test("events come in any split of the bytes", async () => {
  await listen((command, socket) => {
    if (command.execute !== "go") return ok(command);
    socket.write('{"event": "STO');
    setTimeout(() => socket.write('P", "data": {"n": 1}}\n'), 5);
    return undefined;
  });
  const qmp = await open();
  const stopped = qmp.waitEvent((event) => (event.name === "STOP" ? event.data.n : undefined), {
    what: "STOP",
    timeoutMs: 60_000,
  });
  qmp.execute("go", undefined, 50).catch(() => {});
  expect(await stopped).toBe(1);
  qmp.close();
});

test("a second client gets no greeting and a deadline", async () => {
  await listen(() => undefined, "");
  await expect(open(50)).rejects.toMatchObject({ code: "timeout", message: "QMP: no greeting within 50 ms" });
});

test("a command without an answer times out and the next one still works", async () => {
  await listen((command) => (command.execute === "slow" ? undefined : ok(command, 7)));
  const qmp = await open();
  await expect(qmp.execute("slow", undefined, 20)).rejects.toMatchObject({ code: "timeout" });
  expect(await qmp.execute("quick")).toBe(7);
  qmp.close();
});

test("the end of the connection rejects all that waits and all that comes after", async () => {
  await listen((command, socket) => {
    if (command.execute === "qmp_capabilities") return ok(command);
    socket.destroy();
    return undefined;
  });
  const qmp = await open();
  const event = qmp.waitEvent(() => undefined, { what: "nothing", timeoutMs: 60_000 });
  await Promise.all([
    expect(qmp.execute("quit")).rejects.toMatchObject({ code: "machine-gone" }),
    expect(event).rejects.toMatchObject({ code: "machine-gone" }),
  ]);
  await expect(qmp.execute("later")).rejects.toMatchObject({ code: "machine-gone" });
});

test.each([
  ["a line that never ends", "x".repeat(5 * 1024 * 1024)],
  ["a line that is no object", "[1]\nnull\n"],
  ["a line that is no JSON", "}{\n"],
])("a peer that sends %s is let go", async (_name, garbage) => {
  await listen(() => undefined, garbage);
  await expect(open(60_000)).rejects.toMatchObject({ code: "machine-gone" });
});
