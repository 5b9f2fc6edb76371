/** Templates with setup: steps are kept, and a build runs only those that changed. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type DiskUse,
  findPaths,
  type Progress,
  type Snapshot,
  type Template,
  type TemplatePruneReport,
  type TemplateRemoval,
  Thaw,
} from "../../client/index.ts";
import { testHome } from "../helpers/test-home.ts";
import { killDaemon, thaw, thawJson, until } from "../helpers/thaw.ts";

/** The root file system of `base`, which the run has already. */
const HEAD = `from: debian:bookworm
packages: [ca-certificates, curl, git, iproute2, openssh-server, procps]
resources: { memory: 256M }
`;
/** A state folder that is kept from run to run has steps of the one before. */
const MARK = `: ${Date.now()}; cat /proc/sys/kernel/random/uuid`;
let sdk: Thaw;

beforeAll(async () => {
  expect((await thaw(["template", "build", "base"])).exitCode).toBe(0);
  sdk = new Thaw(findPaths({ ...process.env, THAW_HOME: testHome() }));
});
afterAll(async () => {
  await sdk.close();
});

interface Built {
  snapshot: Snapshot;
  /** By the name of the step: `cached`, or `ran`. */
  steps: Record<string, string>;
  events: Progress[];
}

async function build(recipe: string, onProgress: (event: Progress) => void = () => {}): Promise<Built> {
  const events: Progress[] = [];
  const snapshot = await sdk.templates.build(
    { recipe: HEAD + recipe },
    {
      onProgress: (event) => {
        events.push(event);
        onProgress(event);
      },
    },
  );
  const done = events.filter(({ phase, state }) => phase.startsWith("setup: ") && state === "done");
  const steps = done.map(({ phase, detail }) => [phase.slice("setup: ".length), detail ?? "ran"]);
  return { snapshot, steps: Object.fromEntries(steps), events };
}

async function keptSteps(): Promise<DiskUse["kinds"][number]> {
  const { kinds } = await thawJson<DiskUse>(["df"]);
  return kinds.find(({ kind }) => kind === "steps") as DiskUse["kinds"][number];
}

async function inside({ snapshot }: Built, script: string): Promise<string> {
  const { exitCode, stdout, stderr } = await thaw([
    "run",
    "--snapshot",
    snapshot.id,
    "--",
    "sh",
    "-c",
    script,
  ]);
  expect(exitCode, String(stderr)).toBe(0);
  return String(stdout).trim();
}

test("the packages of what was built are known, and judged by the index that came with the root file system", async () => {
  const { summary, packages } = await sdk.snapshots.packages("base");
  expect(summary).toEqual({
    ...{ manager: "dpkg", system: "debian bookworm", count: packages.length },
    outdated: packages.filter(({ newer }) => newer !== null).length,
    indexAt: expect.stringMatching(/^20/),
  });
  const curl = packages.find(({ name }) => name === "curl");
  const look = ["sh", "-c", "dpkg -s curl | sed -n 's/^Version: //p'"];
  const version = String((await thaw(["run", "--snapshot", "base", "--", ...look])).stdout).trim();
  expect(curl).toMatchObject({ version, architecture: "amd64" });
  const [base] = (await thawJson<Template[]>(["template", "ls"])).filter(({ name }) => name === "base");
  expect(base?.packages).toEqual(summary);
});

test("after a change in the last of five steps only that one runs, and what an earlier one started lives on", async () => {
  const recipe = (last: string, more = "") => `name: five
${more}
setup:
  - { name: one, run: "${MARK} >/one; (while sleep 0.1; do date >/beat; done) >/dev/null 2>&1 & echo $! >/pid" }
  - { name: two, run: "${MARK} >/two; kill -0 $(cat /pid)" }
  - { name: three, run: "head -c 3000000 /dev/urandom >/three; sha256sum /three >/sum" }
  - { name: four, run: "${MARK} >/four" }
  - { name: five, run: "${last}; kill -0 $(cat /pid)" }
`;
  const look = "cat /one /two /four; sha256sum -c --quiet /sum; kill -0 $(cat /pid)";
  const ofFive = async () =>
    (await thawJson<Snapshot[]>(["snapshot", "ls"])).filter(({ template }) => template === "five").length;
  const [before, had] = [(await keptSteps()).count, await ofFive()];
  const first = await build(recipe("echo 1 >/five"));
  expect(first.steps).toEqual({ one: "ran", two: "ran", three: "ran", four: "ran", five: "ran" });
  const second = await build(recipe("echo 2 >/five"));
  const cached = { one: "cached", two: "cached", three: "cached", four: "cached" };
  expect(second.steps).toEqual({ ...cached, five: "ran" });
  expect(await inside(second, look)).toBe(await inside(first, look));
  expect(await inside(second, "cat /five; rm /beat; while ! test -s /beat; do sleep 0.1; done")).toBe("2");

  // What no step depends on.
  const warmed = await build(recipe("echo 2 >/five", "warm: ['echo warmed >/warm']"));
  expect(warmed.steps).toEqual({ ...cached, five: "cached" });
  expect(warmed.snapshot.id).not.toBe(second.snapshot.id);
  expect(await inside(warmed, "cat /five /warm")).toBe("2\nwarmed");

  // They are no snapshots; the disk has them.
  expect(await ofFive()).toBe(had + 3);
  expect((await keptSteps()).count).toBe(before + 7);

  const forced = await sdk.templates.build({ recipe: HEAD + recipe("echo 2 >/five"), force: true });
  expect(await inside({ ...second, snapshot: forced }, "cat /one")).not.toBe(
    await inside(second, "cat /one"),
  );
});

test("a step that failed is run again, those before it are not; builds at the same time run a step once", async () => {
  const recipe = (name: string, last: string) => `name: ${name}
setup:
  - { name: one, run: "${MARK} >/one" }
  - { name: two, run: "sleep 1; ${MARK} >/two" }
  - { name: last, run: "${last}" }
`;
  await expect(build(recipe("failing", "echo why; exit 7"))).rejects.toMatchObject({
    ...{ code: "build-failed", message: 'step "last" exited 7', details: ["why"] },
  });
  const mended = await build(recipe("failing", "exit 0"));
  expect(mended.steps).toEqual({ one: "cached", two: "cached", last: "ran" });

  const changed = (name: string, last: string) => recipe(name, last).replace("sleep 1", "sleep 2");
  const [left, right] = await Promise.all([
    build(changed("left", "echo left >/last")),
    build(changed("right", "echo right >/last")),
  ]);
  expect(await inside(left, "cat /one /two")).toBe(await inside(right, "cat /one /two"));
  expect([await inside(left, "cat /last"), await inside(right, "cat /last")]).toEqual(["left", "right"]);
});

test("when the daemon is killed in the middle of a step, the build goes on from the step before", async () => {
  let killing: Promise<void> | undefined;
  const built = await build(
    `name: killed
setup:
  - { name: one, run: "${MARK} >/one; echo killed" }
  - { name: two, run: "echo begun; sleep 3; ${MARK} >/two" }
`,
    ({ state, detail }) => {
      if (state === "output" && detail === "begun") killing ??= killDaemon();
    },
  );
  await killing;
  expect(built.steps).toEqual({ one: "cached", two: "ran" });
  expect(built.events.filter(({ detail }) => detail === "begun")).toHaveLength(2);
  expect(await inside(built, "cat /one /two | wc -l")).toBe("2");
  await until(() => readdirSync(join(testHome(), "builds")).length === 0, "what was half made to be removed");
  expect(readdirSync(join(testHome(), "steps")).filter((name) => name.startsWith("."))).toEqual([]);
});

test("files and downloads are placed before the steps, which run as their users; rm removes all of it, and nothing in use", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-template-"));
  const tool = Buffer.from("#!/bin/sh\necho fetched\n");
  const server = createServer((_request, response) => response.end(tool));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const sha256 = createHash("sha256").update(tool).digest("hex");
    writeFileSync(join(folder, "app.conf"), "first\n");
    writeFileSync(
      join(folder, "template.yaml"),
      `name: placed
${HEAD}network: ["127.0.0.1:${port}"]
files: [{ from: app.conf, to: /etc/app/app.conf, owner: nobody }]
fetch: [{ url: "http://127.0.0.1:${port}/tool", sha256: ${sha256}, to: /opt/tool, mode: "0755" }]
setup:
  - { name: look, user: nobody, env: { WORD: word }, run: "/opt/tool >/tmp/out; cat /etc/app/app.conf >>/tmp/out; stat -c %U /etc/app/app.conf >>/tmp/out; id -un >>/tmp/out; echo $WORD >>/tmp/out" }
`,
    );
    const run = () => thaw(["run", "--template", folder, "--", "cat", "/tmp/out"]);
    const first = await run();
    expect(first.stdout, String(first.stderr)).toBe("fetched\nfirst\nnobody\nnobody\nword\n");
    writeFileSync(join(folder, "app.conf"), "second\n");
    // The download is kept: its server may be gone.
    server.close();
    expect((await run()).stdout).toBe("fetched\nsecond\nnobody\nnobody\nword\n");

    const described = await thawJson<Template>(["template", "show", folder]);
    expect(described).toMatchObject({ name: "placed", from: "debian:bookworm", shipped: false });
    expect(described.snapshot).not.toBeNull();
    expect(described.steps.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["boot", "files", "setup: look"]),
    );
    for (const { bytes } of described.steps) expect(bytes).toBeGreaterThan(0);
    writeFileSync(join(folder, "broken.yaml"), "name: broken\nfrom: nothing\n");
    const project = join(folder, "thaw.yaml");
    writeFileSync(project, "version: 1\ntemplates: { mine: template.yaml, broken: broken.yaml }\n");
    const listed = await thaw(["template", "ls", "--file", project]);
    expect(listed.exitCode, String(listed.stderr)).toBe(0);
    expect(listed.stdout).toMatch(/^mine +placed +template\.yaml +debian:bookworm +\S+ ago /m);
    expect(listed.stderr).toMatch(/template broken is left out: .*mistake/);
    // Without the project file, the host knows its name, and what it was built of.
    const known = (await thawJson<Template[]>(["template", "ls"])).find(({ name }) => name === "placed");
    expect(known).toEqual({ ...described, snapshot: expect.any(String), builtAt: expect.any(String) });
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
  const built = (await thawJson<Snapshot[]>(["snapshot", "ls"])).filter(
    ({ template }) => template === "placed",
  );
  expect((await thaw(["create", "--name", "holds", "--snapshot", "placed"])).exitCode).toBe(0);
  const refused = await thaw(["template", "rm", "placed"]);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stderr).toMatch(/template placed is in use by holds.*thaw rm holds/s);
  await thaw(["rm", "holds"]);
  const [removed] = await thawJson<TemplateRemoval[]>(["template", "rm", "placed"]);
  expect(removed?.snapshots.toSorted()).toEqual(built.map(({ id }) => id).toSorted());
  // The booted machine is another template's too, or goes with these.
  expect(removed?.steps.length).toBeGreaterThanOrEqual(4);
  expect((await thaw(["template", "ls", "-q"])).stdout).not.toMatch(/^placed$/m);
  expect((await thaw(["template", "rm", "placed"])).stderr).toMatch(/nothing was built of a template placed/);
  expect(await thawJson<TemplatePruneReport>(["template", "prune", "--dry-run"])).toMatchObject({
    dryRun: true,
  });
});
