import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NetworkEntry } from "../../api/network.ts";
import { suggestedRules } from "../../api/network-rule.ts";
import { firstBytes } from "../../engine/network/first-bytes.ts";
import { NetworkLog } from "../../engine/network/log.ts";
import { noNetwork, Policy } from "../../engine/network/policy.ts";
import { resolveName } from "../../engine/network/resolver.ts";
import { sshDisconnect } from "../../engine/network/ssh-disconnect.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-network-parts-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The first thing that Node's own TLS sends. */
function hello(servername?: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once("data", (chunk) => {
        resolve(chunk);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      connectTls({ port, host: "127.0.0.1", ...(servername ? { servername } : {}) }).on("error", () => {});
    });
  });
}

/** The same handshake in records of `size` bytes. */
function cut(whole: Buffer, size: number): Buffer {
  const message = whole.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

describe("first bytes", () => {
  test("the name in a ClientHello, whole, byte by byte, and in small records", async () => {
    const whole = await hello("Example.test");
    expect(firstBytes(whole)).toEqual({ kind: "tls", name: "example.test" });
    for (let length = 0; length < whole.length; length += 1)
      expect(firstBytes(whole.subarray(0, length)).kind, String(length)).toBe("more");
    expect(firstBytes(cut(whole, 3))).toEqual({ kind: "tls", name: "example.test" });
    expect(firstBytes(await hello())).toEqual({ kind: "tls", name: null });
  });

  test("altered hellos never throw and never name anything else than text", async () => {
    const whole = await hello("example.test");
    for (let at = 0; at < whole.length; at += 1)
      for (const value of [0, 1, 0x7f, 0xff]) {
        const altered = Buffer.from(whole);
        altered[at] = value;
        expect(["tls", "more", "broken", "other"]).toContain(firstBytes(altered).kind);
      }
  });

  test.each([
    ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http"],
    ["get / http/1.1\nHost: a\n\n", "http"],
    ["\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "http"],
    ["GET / HTTP/1.1\r\nHost: a\r\n", "more"],
    ["GET / HT", "more"],
    [`GET /${"a".repeat(20_000)}`, "broken"],
    [`GET / HTTP/1.1\r\nA: ${"a".repeat(20_000)}`, "broken"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
    ["EHLO example.test\r\n", "other"],
    ["SSH-2.0-OpenSSH_9.2\r\n", "other"],
    ["x".repeat(40), "other"],
    ["*1\r\n$4\r\nPING\r\n", "other"],
    ["\x00\x00\x00\x08\x04\xd2\x16\x2f", "other"],
    ["", "more"],
    // What only some servers take for a request.
    [" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http"],
    [`GET\t/${"a".repeat(40)}\tHTTP/1.1\r\nHost: a\r\n\r\n`, "http"],
    ["GET /\xe9", "more"],
    ["GET /\x01", "more"],
    ["AMQP\x00\x00\x09\x01", "other"],
    ["0032git-upload-pack /a\0host=b\0", "other"],
  ])("%j: %s", (text, kind) => {
    expect(firstBytes(Buffer.from(text, "latin1")).kind).toBe(kind);
  });
});

describe("names on the host", () => {
  /** A server that answers every question for an address with `address`, or with nothing at all. */
  async function serverOf(address: string | null): Promise<{ at: string; close: () => void }> {
    const socket = createSocket("udp4");
    socket.on("message", (question, { port }) => {
      if (address === null) return;
      const isAddress = question.readUInt16BE(question.indexOf(0, 12) + 1) === 1;
      const end = question.indexOf(0, 12) + 5;
      const head = Buffer.from([
        ...question.subarray(0, 2),
        0x81,
        0x80,
        0,
        1,
        0,
        isAddress ? 1 : 0,
        0,
        0,
        0,
        0,
      ]);
      const found = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...address.split(".").map(Number)]);
      socket.send(
        Buffer.concat([head, question.subarray(12, end), ...(isAddress ? [found] : [])]),
        port,
        "127.0.0.1",
      );
    });
    await new Promise<void>((done) => socket.bind(0, "127.0.0.1", done));
    return { at: `127.0.0.1:${socket.address().port}`, close: () => socket.close() };
  }

  test("are asked of the servers that the configuration names", async () => {
    const server = await serverOf("192.0.2.9");
    expect(await resolveName("a.example", { servers: [server.at] })).toEqual(["192.0.2.9"]);
    server.close();
  });

  test("in hosts(5) are not asked for", async () => {
    const hostsFile = join(dir, "hosts");
    writeFileSync(
      hostsFile,
      "# 192.0.2.1 not.example\n192.0.2.2 A.example b.example # c\n2001:db8::1 b.example\n",
    );
    expect(await resolveName("b.example", { hostsFile, servers: ["127.0.0.1:1"] })).toEqual([
      "192.0.2.2",
      "2001:db8::1",
    ]);
    expect(await resolveName("a.example", { hostsFile, servers: ["127.0.0.1:1"] })).toEqual(["192.0.2.2"]);
  });

  test("a server that does not answer is told of in time, and others do not wait", async () => {
    const [silent, quick] = [await serverOf(null), await serverOf("192.0.2.9")];
    const slow = resolveName("a.example", { servers: [silent.at], deadlineMs: 700 });
    expect(await resolveName("a.example", { servers: [quick.at] })).toEqual(["192.0.2.9"]);
    await expect(slow).rejects.toThrow("the host's resolver did not answer for a.example");
    silent.close();
    quick.close();
  });
});

describe("the log", () => {
  const entry: NetworkEntry = {
    ...{
      time: "2026-01-01T00:00:00.000Z",
      exec: "e",
      process: "npm",
      pid: 7,
      uid: 0,
      name: "a.example",
      address: null,
    },
    ...{
      port: 443,
      protocol: "tcp",
      sent: 1,
      received: 2,
      durationMs: 0,
      verdict: "denied",
      rule: null,
      reason: "no",
    },
  };

  test("is bounded on disk and in memory, and counts all", async () => {
    let now = 0;
    const log = new NetworkLog(dir, () => now);
    for (let index = 0; index < 20_000; index += 1) {
      now += 10;
      log.add({ ...entry, name: `n${index}.example`, process: `p${index}` });
    }
    await log.flush();
    expect(log.entries.length).toBeLessThanOrEqual(1_000);
    expect(log.summary.length).toBeLessThanOrEqual(200);
    expect(log.totals).toMatchObject({ denied: 20_000, sent: 20_000, received: 40_000 });
    expect(log.totals.dropped).toBeGreaterThan(10_000);
    expect(statSync(join(dir, "network.jsonl")).size).toBeLessThan(600_000);
  });

  test("names the rule to add where one would help", () => {
    const log = new NetworkLog(dir);
    const { reason } = new Policy(noNetwork()).judge({ name: "a.example", address: "", port: 443 });
    log.add({ ...entry, reason });
    log.add({ ...entry, name: "b.example", rule: "b.example", reason: "the TLS server name is c.example" });
    expect(log.summary.map(({ rule }) => rule).sort()).toEqual(["a.example", null]);
  });

  test("suggests the fewest rules", () => {
    const seen = (destination: string, port: number) => ({ destination, port, verdict: "denied" as const });
    expect(
      suggestedRules([
        seen("a.example", 443),
        seen("a.example", 80),
        seen("b.example", 443),
        seen("b.example", 22),
        seen("10.0.0.1", 5432),
      ]),
    ).toEqual(["10.0.0.1:5432", "a.example", "b.example:22,443"]);
  });
});

test("SSH clients are told why before keys are exchanged", () => {
  const packet = sshDisconnect("thaw: no").subarray("SSH-2.0-thaw\r\n".length);
  expect(packet.length % 8).toBe(0);
  expect(packet.readUInt32BE(0)).toBe(packet.length - 4);
  expect(packet[5]).toBe(1);
  expect(packet.toString("utf8", 14, 14 + packet.readUInt32BE(10))).toBe("thaw: no");
  expect(packet[4]).toBeGreaterThanOrEqual(4);
});
