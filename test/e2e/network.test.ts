/** What sandboxes reach: real machines, servers on this host's loopback, names that a resolver of the test's own answers. */

import { createSocket } from "node:dgram";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { Agent, request } from "undici";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { guestServer } from "../helpers/guest-server.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

let server: Server;
let port: number;
const requests: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(request.headers.host ?? "");
    if (request.url === "/slow") return void response.write("begun\n");
    response.end(`hello ${request.headers.host}\n`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  port = (server.address() as AddressInfo).port;
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(async () => {
  expect((await thaw(["rm", "--all"])).exitCode).toBe(0);
});

const inside = async (name: string, script: string) => {
  const { exitCode, stdout } = await thaw(["exec", name, "--", "sh", "-c", `${script} 2>&1`]);
  return { exitCode, text: String(stdout).trim() };
};

test("a failed run says what it was kept from; with the rule that it names, the same run works", async () => {
  const url = `http://host.thaw.internal:${port}/`;
  const denied = await thaw([
    "run",
    "--",
    "sh",
    "-c",
    "curl -sS http://registry.test/; curl -sSf https://registry.test/",
  ]);
  expect(denied.exitCode).not.toBe(0);
  expect(denied.stdout).toContain(
    "thaw: registry.test:80 is not allowed; allow it with --allow registry.test",
  );
  expect(denied.stderr).toContain(
    "denied: registry.test:443 (1×, curl) · allow it with --allow registry.test",
  );
  const allowed = await thaw(["run", "--allow", `host:${port}`, "--", "curl", "-sS", url]);
  expect([allowed.exitCode, allowed.stdout]).toEqual([0, `hello host.thaw.internal:${port}\n`]);
});

test("a policy is shown, changed while it runs, and noted; forks have it; connections of an earlier life are reset", async () => {
  const url = `http://host.thaw.internal:${port}`;
  expect((await thaw(["create", "--name", "web", "--allow", `host:${port}`])).exitCode).toBe(0);
  expect((await inside("web", `curl -sS ${url}/`)).text).toContain("hello");
  expect((await thaw(["network", "show", "web"])).stdout).toMatch(
    new RegExp(`allow +host:${port} +command line`),
  );
  expect((await thaw(["network", "log", "web"])).stdout).toMatch(
    /allowed +host\.thaw\.internal:\d+ tcp by curl/,
  );

  await thaw([
    "exec",
    "-d",
    "web",
    "--",
    "sh",
    "-c",
    `curl -sS --no-buffer ${url}/slow > /tmp/slow 2>&1; echo "ended $?" >> /tmp/slow`,
  ]);
  await until(
    async () => (await inside("web", "cat /tmp/slow")).text.includes("begun"),
    "an open connection",
  );
  expect((await thaw(["fork", "web", "--name", "copy"])).exitCode).toBe(0);
  await until(
    async () => (await inside("copy-1", "cat /tmp/slow")).text.includes("ended"),
    "the copy's connection to be reset",
  );
  expect((await inside("web", "cat /tmp/slow")).text).not.toContain("ended");
  expect((await inside("copy-1", `curl -sS ${url}/`)).text).toContain("hello");

  await killDaemon();
  await until(
    async () => (await inside("web", "cat /tmp/slow")).text.includes("ended"),
    "the connection to be reset",
  );
  expect((await inside("web", `curl -sS ${url}/`)).text).toContain("hello");
  expect(String((await thaw(["network", "log", "web"])).stdout).split("\n").length).toBeGreaterThanOrEqual(2);

  expect((await thaw(["network", "set", "web", "--network", "open", "--deny", "evil.test"])).exitCode).toBe(
    0,
  );
  expect((await inside("web", `curl -sS ${url}/`)).exitCode).not.toBe(0);
  expect((await inside("web", "curl -sS -m 60 http://169.254.169.254/")).text).toContain(
    "169.254.169.254 is closed",
  );
  expect((await inside("web", "curl -sS -m 60 http://evil.test/")).text).toContain(
    "denied by evil.test (command line)",
  );
  const rules = await thawJson<string[]>(["network", "suggest", "web"]);
  expect(rules).toEqual(expect.arrayContaining(["169.254.169.254", "evil.test", `host:${port}`]));
});

test("the host's maximum, mistakes all at once, and a replay that reaches nothing", async () => {
  const config = join(testHome(), "config.yaml");
  writeFileSync(config, `network:\n  maximum: { allow: ["host:${port}"] }\n`);
  try {
    const denied = await thaw(["run", "--network", "open", "--", "curl", "-sS", "http://other.test/"]);
    expect(denied.stdout).toContain("beyond what this host allows");
    const captured = await thaw([
      "run",
      "--allow",
      `host:${port}`,
      "--capture",
      "on-failure",
      "--",
      "sh",
      "-c",
      `curl -sS http://host.thaw.internal:${port}/; exit 3`,
    ]);
    expect([captured.exitCode, captured.stdout]).toEqual([3, expect.stringContaining("hello")]);
  } finally {
    writeFileSync(config, "");
  }
  const suggested = await thaw(["network", "suggest", "latest"]);
  expect(suggested.stdout).toBe(`--allow host:${port}\n`);
  const replay = await thaw([
    "replay",
    "latest",
    "--",
    "curl",
    "-sS",
    "-m",
    "5",
    `http://host.thaw.internal:${port}/`,
  ]);
  expect(replay.exitCode).not.toBe(0);
  const wrong = await thaw(["create", "--allow", "example.com:0"]);
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    2,
    expect.stringContaining("a port is a number from 1 to 65535"),
  ]);
});

test("a forward wakes its sandbox and returns after a killed daemon; one that can't listen leaves no sandbox", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-sockets-"));
  const [path, twice] = [join(folder, "site.sock"), join(folder, "twice.sock")];
  const published = ["-p", "0:8000", "-p", `${path}:8000`];
  expect((await thaw(["create", "--name", "site", ...published])).exitCode).toBe(0);
  for (const at of [8000, "/run/app.sock"])
    await thaw(["exec", "-d", "site", "--", ...guestServer(at, "inside\\n")]);
  expect((await thaw(["port", "site", `${twice}:/run/app.sock`])).stdout).toMatch(
    new RegExp(`${twice} +/run/app.sock`),
  );
  interface Ports {
    forwards: { port: number; path: string | null; fault: string | null }[];
    listening: { port: number }[];
  }
  const ports = () => thawJson<Ports>(["port", "site"]);
  await until(async () => (await ports()).listening.some(({ port }) => port === 8000), "it to listen");
  const host = (await ports()).forwards[0]?.port ?? 0;
  const ask = async () =>
    (await fetch(`http://127.0.0.1:${host}/`, { signal: AbortSignal.timeout(30_000) })).text();
  const askSocket = async (socketPath: string) => {
    const dispatcher = new Agent({ connect: { socketPath } });
    const { body } = await request("http://site/", { dispatcher });
    return body.text().finally(() => dispatcher.close());
  };
  await until(async () => (await askSocket(twice).catch(() => "")) === "inside\n", "the other to listen");
  const askAll = async () => [await ask(), await askSocket(path), await askSocket(twice)];
  const all = ["inside\n", "inside\n", "inside\n"];
  expect(await askAll()).toEqual(all);
  expect((await thaw(["pause", "site"])).exitCode).toBe(0);
  expect(await askSocket(twice)).toBe("inside\n");
  await killDaemon();
  expect((await thaw(["ls"])).stdout).toContain(`${host}:8000, ${path}:8000, ${twice}:/run/app.sock`);
  expect(await askAll()).toEqual(all);
  expect((await thaw(["port", "site", "--rm", twice])).exitCode).toBe(0);
  expect(existsSync(twice)).toBe(false);
  const odd = await thaw(["create", "--name", "odd", "-p", "/proc/odd.sock:8000"]);
  expect([odd.exitCode, odd.stderr]).toEqual([2, expect.stringContaining("can't hold a forward's socket")]);
  const taken = await thaw(["create", "--name", "two", "-p", `${host}:8000`]);
  expect([taken.exitCode, taken.stderr]).toEqual([125, expect.stringContaining("is taken")]);
  expect((await thaw(["ls"])).stdout).not.toMatch(/two|odd/);
  expect((await thaw(["rm", "site"])).exitCode).toBe(0);
  expect(existsSync(path)).toBe(false);
  rmSync(folder, { recursive: true });
});

test("a host whose DNS is slow, or that has none: a program hears of it within 10 s; totals, ports and their events are told", async () => {
  const silent = createSocket("udp4");
  await new Promise<void>((done) => silent.bind(0, "127.0.0.1", done));
  const config = join(testHome(), "config.yaml");
  const dns = (at: number) => writeFileSync(config, `network: { dns: ["127.0.0.1:${at}"] }\n`);
  const ask = (name: string) => `curl -sS -w '%{time_total}' http://${name}/`;
  try {
    dns(silent.address().port);
    const allowed = ["--allow", "slow.test", "--allow", "none.test", "--allow", `host:${port}`];
    expect((await thaw(["create", "--name", "dns", ...allowed])).exitCode).toBe(0);
    const [slow, meanwhile] = await Promise.all([
      inside("dns", ask("slow.test")),
      inside("dns", `curl -sS http://host.thaw.internal:${port}/`),
    ]);
    expect(slow.text).toContain("the host's resolver did not answer for slow.test");
    // After eight seconds by the daemon's clock; the rest is a busy host's.
    expect(Number(/[\d.]+$/.exec(slow.text)?.[0])).toBeLessThan(20);
    expect(meanwhile.text).toContain("hello");
    dns(1);
    // Reads the configuration again.
    expect((await thaw(["network", "set", "dns", ...allowed])).exitCode).toBe(0);
    expect((await inside("dns", ask("none.test"))).text).toContain("the host has no resolver that answers");
  } finally {
    writeFileSync(config, "");
    silent.close();
  }
  const listen = `my $s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>8100,Listen=>5) or die; sleep 1 until -e "/tmp/stop"`;
  await thaw(["exec", "-d", "dns", "--", "perl", "-MIO::Socket::INET", "-e", listen]);
  await until(async () => String((await thaw(["ls"])).stdout).includes("8100"), "it to listen");
  await inside("dns", "touch /tmp/stop");
  await until(async () => !String((await thaw(["ls"])).stdout).includes("8100"), "it to be gone");
  const events = String((await thaw(["events", "dns"])).stdout);
  expect(events).toMatch(/port\.opened.*port\.closed/s);
  const [row] = await thawJson<{ network: { allowed: number; failed: number; received: number } }[]>([
    "stats",
    "dns",
  ]);
  expect(row?.network.allowed).toBeGreaterThan(0);
  expect(row?.network.failed).toBeGreaterThanOrEqual(2);
  expect(row?.network.received).toBeGreaterThan(0);
});

test("a preview wakes its sandbox; its link is good for that port only, and its cookie after a killed daemon", async () => {
  expect((await thaw(["create", "--name", "site"])).exitCode).toBe(0);
  await thaw(["exec", "-d", "site", "--", ...guestServer(8000, "$r")]);
  const made = await thawJson<{ url: string; expiresAt: string }>(["preview", "site", "8000"]);
  const { search, port: own, hostname } = new URL(made.url);
  expect(hostname).toBe("8000-site.localhost");
  // By path: not every resolver knows names below localhost.
  const page = `http://127.0.0.1:${own}/site/8000/`;
  const get = (url: string, headers: Record<string, string> = {}) =>
    fetch(url, { redirect: "manual", headers, signal: AbortSignal.timeout(60_000) });
  const entered = await get(`${page}${search}`);
  expect(entered.status).toBe(303);
  const cookie = entered.headers.get("set-cookie")?.split(";")[0] ?? "";
  const body = async () => (await get(`${page}a`, { cookie })).text();
  await until(async () => (await body()).startsWith("GET /a"), "it to listen");
  expect(await body()).not.toContain("thaw-");
  expect((await get(page)).status).toBe(403);
  expect((await thaw(["pause", "site"])).exitCode).toBe(0);
  expect(await body()).toContain("GET /a");
  await killDaemon();
  expect((await thaw(["ls"])).stdout).toContain("site");
  expect(await body()).toContain("GET /a");
  expect((await thaw(["preview", "site", "8000", "--rm"])).exitCode).toBe(0);
  expect((await get(page, { cookie })).status).toBe(403);
});

test("a sandbox that wakes has its connections of before reset, and makes new ones", async () => {
  const url = `http://host.thaw.internal:${port}`;
  expect(
    (await thaw(["create", "--name", "web", "--stop-after", "1s", "--allow", `host:${port}`])).exitCode,
  ).toBe(0);
  const download = `curl -sSN ${url}/slow >/out 2>&1; echo "exit $?" >>/out`;
  await inside("web", `setsid -f sh -c '${download}' >/dev/null </dev/null`);
  await until(async () => (await inside("web", "cat /out")).text === "begun", "the download to begin");
  expect((await thaw(["pause", "web"])).exitCode).toBe(0);
  const frozen = async () => (await thawJson<{ frozen: boolean }[]>(["ls"])).every((row) => row.frozen);
  await until(frozen, "it to be frozen");
  await until(
    async () => /reset by peer\nexit 56$/.test((await inside("web", "cat /out")).text),
    "the download to be reset",
  );
  expect((await inside("web", `curl -sS ${url}/`)).text).toContain("hello");
});

test("sandboxes of a template start with its policy", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-network-"));
  const recipe = readFileSync("templates/base/template.yaml", "utf8").replaceAll(
    /^(name|tag): .*/gm,
    "$1: open-port",
  );
  const policy = `sandboxes: { network: { allow: ["host:${port}"] } }\n`;
  writeFileSync(join(folder, "template.yaml"), recipe + policy);
  const create = await thaw(["create", "--template", folder, "--name", "web"]);
  expect(create.exitCode, String(create.stderr)).toBe(0);
  rmSync(folder, { recursive: true });
  expect((await thaw(["network", "show", "web"])).stdout).toMatch(
    new RegExp(`allow +host:${port} +template open-port`),
  );
  expect((await inside("web", `curl -sS http://host.thaw.internal:${port}/`)).text).toContain("hello");
});

test("a container inside has a network of its own, and goes the guest's way out", async () => {
  const url = `http://host.thaw.internal:${port}/`;
  expect((await thaw(["create", "--name", "web", "--allow", `host:${port}`])).exitCode).toBe(0);
  const made = await inside(
    "web",
    `set -e
    ip netns add one
    ip link add outside type veth peer name inside
    ip link set inside netns one
    ip link add bridge0 type bridge
    ip link set outside master bridge0
    ip addr add 10.88.0.1/24 dev bridge0
    ip link set bridge0 up
    ip link set outside up
    ip netns exec one ip addr add 10.88.0.2/24 dev inside
    ip netns exec one ip link set inside up
    ip netns exec one ip route add default via 10.88.0.1
    echo 1 >/proc/sys/net/ipv4/ip_forward
    mkdir -p /etc/netns/one
    echo nameserver 8.8.8.8 >/etc/netns/one/resolv.conf`,
  );
  expect(made).toEqual({ exitCode: 0, text: "" });
  const within = (command: string) => inside("web", `ip netns exec one ${command}`);
  expect((await within(`curl -sS --retry 5 --retry-all-errors ${url}`)).text).toContain("hello");
  expect((await within("curl -sS http://registry.test/")).text).toContain("registry.test:80 is not allowed");
  expect((await within("curl -sS http://192.0.2.1/")).text).toContain("192.0.2.1:80 is not allowed");
  // QUIC goes over to TCP when it is refused at once.
  const quic = "bash -c 'exec 3<>/dev/udp/192.0.2.1/443; echo >&3; timeout 20 cat <&3'";
  expect((await within(quic)).text).toContain("Connection refused");
});

test("previews are served where config.yaml says, or the daemon's flag", async () => {
  expect((await thaw(["create", "--name", "web"])).exitCode).toBe(0);
  const config = join(testHome(), "config.yaml");
  const where = async (...flags: string[]) => {
    expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
    expect((await thaw(["daemon", "start", ...flags])).exitCode).toBe(0);
    const { stdout, stderr } = await thaw(["preview", "web", "8000"]);
    return `${String(stdout).split("?")[0]}${stderr}`;
  };
  writeFileSync(
    config,
    "preview: { listen: 127.0.0.1:0, domain: previews.example.com, base: https://previews.example.com }",
  );
  try {
    expect(await where()).toMatch(/^https:\/\/8000-web\.previews\.example\.com\//);
  } finally {
    rmSync(config);
  }
  expect(await where("--preview-listen", "127.0.0.2:7381")).toMatch(/^http:\/\/8000-web\.localhost:7381\//);
  const answer = await request("http://127.0.0.2:7381/", { headers: { host: "8000-web.localhost:7381" } });
  expect(answer.statusCode).toBe(403);
  await answer.body.dump();
  expect((await thaw(["daemon", "stop"])).exitCode).toBe(0);
});

test("a guest that reaches something trusts the authorities of its host, unless that is off", async () => {
  const dir = mkdtempSync(join(tmpdir(), "thaw-authority-"));
  const [key, cert] = [join(dir, "key.pem"), join(dir, "company.crt")];
  const about =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=company -addext subjectAltName=DNS:host.thaw.internal";
  await execa("openssl", [...about.split(" "), "-keyout", key, "-out", cert]);
  const secure = createHttps({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => {
    response.end("trusted\n");
  });
  await new Promise<void>((done) => secure.listen(0, "127.0.0.1", done));
  const { port: at } = secure.address() as AddressInfo;
  const config = join(testHome(), "config.yaml");
  const run = () => thaw(["run", "--allow", `host:${at}`, "--", "sh", "-c", script]);
  const script = `curl -sS https://host.thaw.internal:${at}/; git ls-remote https://host.thaw.internal:${at}/x 2>&1 | grep -c certificate; openssl s_client -connect host.thaw.internal:${at} -CApath /etc/ssl/certs </dev/null 2>&1 | grep "Verify return" | head -n 1; cat $NODE_EXTRA_CA_CERTS | grep -c BEGIN`;
  try {
    writeFileSync(config, `network: { ca: ["${cert}"] }\n`);
    const { stdout, stderr } = await run();
    expect(stdout, String(stderr)).toBe("trusted\n0\nVerify return code: 0 (ok)\n1\n");
    writeFileSync(config, "network: { ca: off }\n");
    expect((await run()).stdout).not.toContain("trusted");
  } finally {
    writeFileSync(config, "");
    secure.close();
    rmSync(dir, { recursive: true });
  }
});
