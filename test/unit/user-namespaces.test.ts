/** Hosts that keep user namespaces from ordinary users: which switch, and what to type. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forbiddenNamespaces, lackingRanges } from "../../host/user-namespaces.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync("/tmp/thaw-userns-");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}

test.each([
  ["user/max_user_namespaces", "0", "user.max_user_namespaces=15000"],
  ["kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"],
  ["kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"],
])("%s = %s is named, with its repair", async (path, value, repair) => {
  write(path, `${value}\n`);
  const name = path.replaceAll("/", ".");
  expect(await forbiddenNamespaces(dir)).toEqual({
    reason: expect.stringContaining(`(${name} = ${value})`),
    hint: `echo ${repair} | sudo tee /etc/sysctl.d/60-thaw.conf && sudo sysctl --system, or run the daemon as root`,
  });
  write(path, `${repair.split("=")[1]}\n`);
  expect(await forbiddenNamespaces(dir)).toBeUndefined();
});

test("a kernel without the switches forbids nothing", async () => {
  expect(await forbiddenNamespaces(dir)).toBeUndefined();
});

test("ranges are looked up by name and by uid; too few are none", async () => {
  const ann = { username: "ann", uid: 1000 };
  const both = { reason: expect.stringContaining(`in ${dir}/subuid and ${dir}/subgid`) };
  expect(await lackingRanges(ann, dir)).toMatchObject({
    ...both,
    hint: "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann",
  });
  write("subuid", "root:1:65536\nanna:100000:65536\nann:100000:1000\n");
  write("subgid", "1000:100000:65536\n");
  expect(await lackingRanges(ann, dir)).toEqual({
    reason: `ann has fewer than 65536 ids in ${dir}/subuid`,
    hint: "sudo usermod --add-subuids 100000-165535 ann",
  });
  write("subuid", "ann:100000:1000\nann:200000:64536\nnonsense\n");
  expect(await lackingRanges(ann, dir)).toBeUndefined();
});
