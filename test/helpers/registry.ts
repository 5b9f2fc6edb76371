/** Debian's docker-registry on loopback, with a user and a password; and a proxy before it that spoils what passes. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, createServer as createNetServer } from "node:net";
import { join } from "node:path";
import { until } from "./thaw.ts";

export interface Registry {
  /** `127.0.0.1:PORT` */
  host: string;
  /** base64 of USER:PASSWORD. */
  auth: string;
  /** As docker writes it. */
  authFile: string;
  stop: () => Promise<void>;
}

const user = "thaw";
const password = "secret";

async function freePort(): Promise<number> {
  const server = createNetServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Other servers of the specification that this machine has: `THAW_TEST_DISTRIBUTION`, else `registry` on PATH, is distribution v3. */
export function registryPrograms(): { name: string; program: string | null; reason: string }[] {
  const program = process.env.THAW_TEST_DISTRIBUTION ?? "registry";
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  const found = / v?3\./.test(stdout ?? "");
  const reason = "not installed: go install github.com/distribution/distribution/v3/cmd/registry@v3.0.0";
  return [{ name: "distribution-3", program: found ? program : null, reason }];
}

/** @param program docker-registry, or distribution's `registry`; `open`: it wants no password */
export async function startRegistry(
  folder: string,
  program = "docker-registry",
  { open = false } = {},
): Promise<Registry> {
  await mkdir(folder, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const perl = spawnSync("perl", ["-e", `print crypt("${password}", '$2y$05$abcdefghijklmnopqrstuu')`], {
    encoding: "utf8",
  });
  await writeFile(join(folder, "htpasswd"), `${user}:${perl.stdout}\n`);
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    ...(open ? {} : { auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } } }),
    http: { addr: host },
  };
  await writeFile(join(folder, "config.yml"), JSON.stringify(config));
  const child: ChildProcess = spawn(program, ["serve", join(folder, "config.yml")], {
    stdio: "ignore",
    // Variables that begin with REGISTRY_ are its configuration.
    env: { PATH: process.env.PATH ?? "" },
  });
  await until(
    async () => (await fetch(`http://${host}/v2/`).catch(() => null))?.status === (open ? 200 : 401),
    "the registry",
  );
  const auth = Buffer.from(`${user}:${password}`).toString("base64");
  const authFile = join(folder, "auth.json");
  await writeFile(authFile, JSON.stringify({ auths: { [host]: { auth } } }));
  return {
    ...{ host, auth, authFile },
    stop: () => ending(child),
  };
}

async function ending(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

export interface SpoilingProxy {
  host: string;
  /** `Range` of the requests for blobs, "" without one. */
  ranges: string[];
  scopes: string[];
  /** Bytes of blobs that passed. */
  served: number;
  stop: () => Promise<void>;
}

export interface Spoils {
  /** Takes requests and never answers. */
  silent?: boolean;
  /** Turns a bit of bodies longer than this. */
  alterAbove?: number;
  /** Hangs up after so many bytes of a body. */
  breakAfter?: number;
  bytesPerSecond?: number;
  /** Wants a token, which it gives for this Basic authorization. */
  bearer?: string;
}

export async function alteringProxy(target: string, spoils: Spoils): Promise<SpoilingProxy> {
  const proxy: SpoilingProxy = { host: "", ranges: [], scopes: [], served: 0, stop: async () => {} };
  const server: Server = createServer((incoming, outgoing) => {
    if (spoils.silent) return;
    const url = new URL(incoming.url ?? "/", `http://${proxy.host}`);
    const { authorization, range = "" } = incoming.headers;
    const headers = { ...incoming.headers, host: target };
    if (spoils.bearer !== undefined) {
      if (url.pathname === "/token") {
        proxy.scopes.push(url.searchParams.get("scope") ?? "");
        const ok = authorization === `Basic ${spoils.bearer}`;
        return void outgoing.writeHead(ok ? 200 : 401).end(JSON.stringify({ token: "of-the-test" }));
      }
      if (authorization !== "Bearer of-the-test") {
        const challenge = `Bearer realm="http://${proxy.host}/token",service="test",scope="repository:failures:pull"`;
        return void outgoing.writeHead(401, { "www-authenticate": challenge }).end();
      }
      headers.authorization = `Basic ${spoils.bearer}`;
    }
    const isBlob = incoming.method === "GET" && url.pathname.includes("/blobs/");
    if (isBlob) proxy.ranges.push(range);
    const forwarded = request(
      {
        host: "127.0.0.1",
        port: Number(target.split(":")[1]),
        path: incoming.url,
        method: incoming.method,
        headers,
      },
      async (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        let passed = 0;
        try {
          for await (const chunk of answer as AsyncIterable<Buffer>) {
            const length = Number(answer.headers["content-length"]);
            if (isBlob && passed === 0 && spoils.alterAbove !== undefined && length > spoils.alterAbove)
              chunk[0] = (chunk[0] ?? 0) ^ 1;
            passed += chunk.length;
            if (isBlob) proxy.served += chunk.length;
            outgoing.write(chunk);
            if (isBlob && passed > (spoils.breakAfter ?? Number.POSITIVE_INFINITY))
              return void outgoing.destroy();
            if (isBlob && spoils.bytesPerSecond !== undefined)
              await new Promise((resolve) =>
                setTimeout(resolve, (chunk.length / (spoils.bytesPerSecond ?? 1)) * 1000),
              );
            if (outgoing.destroyed) return;
          }
          outgoing.end();
        } catch {
          outgoing.destroy();
        }
      },
    );
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  proxy.stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return proxy;
}
