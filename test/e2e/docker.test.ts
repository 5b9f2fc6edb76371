/** The template `docker`: an engine that runs in the snapshot, and containers whose way out is the sandbox's. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { busyboxImage } from "../helpers/docker-image.ts";
import { type Registry, startRegistry } from "../helpers/registry.ts";
import { thaw, thawJson } from "../helpers/thaw.ts";

let folder = "";
let registry: Registry;

beforeAll(async () => {
  folder = await mkdtemp("/tmp/thaw-docker-");
  registry = await startRegistry(join(folder, "registry"));
  const built = await thaw(["template", "build", "docker"], { timeout: 900_000 });
  expect(built.exitCode, String(built.stderr)).toBe(0);
}, 900_000);

afterAll(async () => {
  await thaw(["rm", "-f", "engine"]);
  await registry.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Standard output of a script in the sandbox. */
async function inside(script: string, input?: Buffer): Promise<string> {
  const { exitCode, stdout, stderr } = await thaw(
    ["exec", ...(input === undefined ? [] : ["-i"]), "engine", "--", "sh", "-ec", script],
    input === undefined ? {} : { input },
  );
  expect(exitCode, `${script}: ${stdout}${stderr}`).toBe(0);
  return String(stdout).trim();
}

const APP = `
mkdir /root/app && cd /root/app
cat >Dockerfile <<'EOF'
FROM tiny:1
RUN mkdir /www && echo built >/www/index.html
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
EOF
cat >compose.yaml <<'EOF'
services:
  web: { image: app }
  front:
    image: app
    command: [sh, -c, "until wget -q -O /got http://web/; do :; done; echo front: $$(cat /got) >/www/index.html; exec httpd -f -p 80 -h /www"]
    ports: ["8081:80"]
EOF
`;
const ASK = "curl -sS --retry 100 --retry-delay 1 --retry-all-errors";

test("the engine answers at once in a new sandbox; images are loaded and built, containers published and composed", async () => {
  expect((await thaw(["create", "--template", "docker", "--name", "engine"])).exitCode).toBe(0);
  expect(await inside("docker info --format '{{.Driver}} {{.CgroupVersion}} {{.Warnings}}'")).toBe(
    "overlay2 2 []",
  );
  expect(await inside("docker load", await busyboxImage(folder, "tiny:1"))).toBe("Loaded image: tiny:1");
  await inside(`${APP} docker build --quiet --tag app .`);
  await inside("docker run --detach --name web --publish 8080:80 app");
  expect(await inside(`${ASK} http://127.0.0.1:8080/`)).toBe("built");
  expect((await thaw(["port", "engine", "0:8080"])).exitCode).toBe(0);
  const { forwards } = await thawJson<{ forwards: { port: number }[] }>(["port", "engine"]);
  expect(await (await fetch(`http://127.0.0.1:${forwards[0]?.port}/`)).text()).toBe("built\n");
  await inside("docker rm --force web && cd /root/app && docker compose up --detach 2>&1");
  expect(await inside(`${ASK} http://127.0.0.1:8081/`)).toBe("front: built");
  await inside("cd /root/app && docker compose down --timeout 0 2>&1");
});

test("the engine and its containers reach what the sandbox's policy allows, names included", async () => {
  const name = registry.host.replace("127.0.0.1", "host.thaw.internal");
  const ask = `docker run --rm tiny:1 wget -O - http://${name}/v2/ 2>&1 || :`;
  expect(await inside(ask)).toContain("Connection reset");
  const port = registry.host.split(":")[1];
  expect((await thaw(["network", "set", "engine", "--allow", `host:${port}`])).exitCode).toBe(0);
  // The registry's own answer: it wants a password.
  expect(await inside(ask)).toContain("401 Unauthorized");
  const pull = `
    echo '{ "insecure-registries": ["${name}"] }' >/etc/docker/daemon.json
    kill -HUP $(cat /run/docker.pid)
    until docker info --format '{{json .RegistryConfig.IndexConfigs}}' | grep -q '"${name}"'; do :; done
    echo secret | docker login --username thaw --password-stdin ${name} 2>/dev/null
    docker tag app ${name}/app && docker push --quiet ${name}/app
    docker image rm app ${name}/app >/dev/null
    docker run --rm --pull always ${name}/app cat /www/index.html 2>/dev/null`;
  expect((await inside(pull)).split("\n").at(-1)).toBe("built");
  const { stdout } = await thaw(["network", "log", "engine"]);
  expect(String(stdout)).toMatch(new RegExp(`allowed +${name} .*by dockerd`));
});

test("a fork has the containers of its parent; kmod finds the kernel's modules", async () => {
  await inside("docker run --detach --name count tiny:1 sh -c 'while :; do echo x; sleep 1; done'");
  expect((await thaw(["fork", "engine", "-n", "1", "--name", "twin"])).exitCode).toBe(0);
  const { stdout } = await thaw([
    "exec",
    "twin-1",
    "--",
    "docker",
    "ps",
    "--format",
    "{{.Names}} {{.State}}",
  ]);
  expect(String(stdout)).toBe("count running\n");
  await thaw(["rm", "-f", "twin-1"]);
  expect(
    await inside("modprobe wireguard && ip link add wg0 type wireguard && modprobe -D br_netfilter"),
  ).toMatch(/^insmod .*\/llc\.ko[\s\S]*br_netfilter\.ko/);
});
