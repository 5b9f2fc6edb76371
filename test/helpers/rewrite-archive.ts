/** An archive whose digests are all right, and whose content is not. */
import { createHash, randomBytes } from "node:crypto";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { emptyQcow2 } from "../../runners/qemu/qcow2.ts";

export interface Rewriting {
  memory?: { sizeBytes?: number; name?: string };
  accelerator?: "kvm";
  /** Digest of the base snapshot's manifest. */
  base?: string;
  /** `filled`: opens to 600 MiB that are not zeros. `one-cluster`: a disk of a megabyte whose every cluster is the same one. */
  layer?: "backing" | "data-file" | "filled" | "one-cluster";
  /** Says that its memory is not there, though it is. */
  leftOut?: true;
}

interface Descriptor {
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}
interface WirePart {
  name: string;
  sizeBytes: number;
  sha256: string;
  rawBytes: number;
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

export function rewrite(
  entries: Map<string, Buffer>,
  kind: "snapshot" | "capture",
  change: Rewriting,
): Map<string, Buffer> {
  const made = new Map(entries);
  const read = (digest: string): Buffer =>
    made.get(`blobs/sha256/${digest.slice("sha256:".length)}`) ?? Buffer.alloc(0);
  const put = (target: Descriptor, bytes: Buffer): void => {
    target.digest = `sha256:${sha256(bytes)}`;
    target.size = bytes.length;
    made.set(`blobs/sha256/${sha256(bytes)}`, bytes);
  };
  const index = JSON.parse(made.get("index.json")?.toString() ?? "") as { manifests: Descriptor[] };
  const entry = index.manifests.find(
    ({ artifactType }) => artifactType === `application/vnd.thaw.${kind}.v1`,
  );
  if (entry === undefined) throw new Error(`no ${kind} in the archive`);
  const oci = JSON.parse(read(entry.digest).toString()) as { layers: Descriptor[] };
  const [layer] = oci.layers;
  if (layer === undefined) throw new Error("no layers");
  const content = JSON.parse(read(layer.digest).toString()) as { manifest: string; parts: WirePart[] };
  const manifest = JSON.parse(content.manifest);
  const [memory] = content.parts;
  if (change.memory?.sizeBytes !== undefined && memory !== undefined) {
    manifest.parts[0].sizeBytes = change.memory.sizeBytes;
    manifest.resources.memoryMib = change.memory.sizeBytes / 2 ** 20;
    memory.rawBytes = change.memory.sizeBytes;
  }
  if (change.memory?.name !== undefined) manifest.parts[0].name = change.memory.name;
  if (change.accelerator !== undefined) manifest.needs.accelerator = change.accelerator;
  if (change.leftOut) manifest.memory = "none";
  if (change.base !== undefined) manifest.base.digest = change.base;
  if (change.layer !== undefined) {
    const at = oci.layers.find(
      ({ annotations }) => annotations?.["org.opencontainers.image.title"] === "layer-1.qcow2.zst",
    );
    const stated = manifest.parts.find(({ name }: WirePart) => name === "layer-1.qcow2.zst") as WirePart;
    const wire = content.parts.find(({ name }) => name === "layer-1.qcow2.zst");
    if (at === undefined || wire === undefined) throw new Error("no layer");
    const disk = layerOf(zstdDecompressSync(read(at.digest)), change.layer, manifest.resources.diskMib);
    const packed = zstdCompressSync(disk);
    put(at, packed);
    for (const part of [stated, wire])
      Object.assign(part, { sizeBytes: packed.length, sha256: sha256(packed), rawBytes: disk.length });
  }
  content.manifest = JSON.stringify(manifest);
  put(layer, Buffer.from(JSON.stringify(content)));
  put(entry, Buffer.from(JSON.stringify(oci)));
  made.set("index.json", Buffer.from(JSON.stringify(index)));
  return made;
}

function layerOf(disk: Buffer, change: NonNullable<Rewriting["layer"]>, diskMib: number): Buffer {
  if (change === "filled")
    // What opens to too many times its size is refused before it is opened.
    return Buffer.concat([disk, randomBytes(2 * 2 ** 20), Buffer.alloc(600 * 2 ** 20, 0xff)]);
  if (change === "one-cluster") return diskOfOneCluster(diskMib * 2 ** 20);
  if (change === "backing") {
    disk.writeBigUInt64BE(512n, 8);
    disk.writeUInt32BE(disk.write("/etc/passwd", 512), 16);
  } else disk.writeBigUInt64BE(disk.readBigUInt64BE(72) | 4n, 72);
  return disk;
}

/** A qcow2 image whose L2 tables name its last cluster for every cluster of the disk. */
function diskOfOneCluster(bytes: number): Buffer {
  const cluster = 1 << 16;
  const empty = emptyQcow2(bytes);
  const tables = Math.ceil(bytes / cluster / (cluster / 8));
  const last = empty.length + tables * cluster;
  const table = Buffer.alloc(cluster);
  for (let entry = 0; entry < cluster; entry += 8) table.writeBigUInt64BE(BigInt(last), entry);
  for (let index = 0; index < tables; index++)
    empty.writeBigUInt64BE(BigInt(empty.length + index * cluster), 3 * cluster + index * 8);
  return Buffer.concat([empty, ...Array.from({ length: tables }, () => table), randomBytes(cluster)]);
}
