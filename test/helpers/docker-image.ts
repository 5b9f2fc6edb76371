/** A small image as `docker load` takes it: the host's static busybox and nothing else. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { tarOf } from "./tar.ts";

const BUSYBOX = "/bin/busybox";
const PROGRAMS = ["sh", "cat", "echo", "httpd", "mkdir", "wget"];

/** @param folder of its own, for scratch files */
export async function busyboxImage(folder: string, tag: string): Promise<Buffer> {
  const root = join(folder, "image");
  for (const name of ["bin", "etc", "tmp"]) await mkdir(join(root, name), { recursive: true });
  await copyFile(BUSYBOX, join(root, "bin/busybox"));
  for (const name of PROGRAMS) await symlink("busybox", join(root, "bin", name));
  const packed = await execa("tar", ["-C", root, "--owner=0", "--group=0", "-c", "."], {
    encoding: "buffer",
  });
  const layer = Buffer.from(packed.stdout);
  const config = {
    ...{ architecture: "amd64", os: "linux", config: { Env: ["PATH=/bin"] } },
    rootfs: { type: "layers", diff_ids: [`sha256:${createHash("sha256").update(layer).digest("hex")}`] },
  };
  const manifest = [{ Config: "config.json", RepoTags: [tag], Layers: ["layer.tar"] }];
  return tarOf([
    ["manifest.json", Buffer.from(JSON.stringify(manifest))],
    ["config.json", Buffer.from(JSON.stringify(config))],
    ["layer.tar", layer],
  ]);
}
