/** Archives as tests need them: any name, any type. */
import { readFile } from "node:fs/promises";
import { tarHeader, tarPadding } from "../../client/stores/ustar.ts";

export async function untar(path: string): Promise<Map<string, Buffer>> {
  const bytes = await readFile(path);
  const entries = new Map<string, Buffer>();
  for (let at = 0; bytes[at] !== 0; ) {
    const name = bytes.toString("latin1", at, at + 100).split("\0")[0] ?? "";
    const size = Number.parseInt(bytes.toString("latin1", at + 124, at + 135), 8);
    entries.set(name, bytes.subarray(at + 512, at + 512 + size));
    at += 512 + size + tarPadding(size);
  }
  return entries;
}

/** @param entries name, content, and a type that is not "0" */
export function tarOf(entries: Iterable<[string, Buffer, string?]>): Buffer {
  const blocks: Buffer[] = [];
  for (const [name, content, type = "0"] of entries) {
    const header = tarHeader(name, content.length);
    header.write(type, 156);
    header.write("        ", 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    blocks.push(header, content, Buffer.alloc(tarPadding(content.length)));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** The content of the one file in an archive that `thaw cp` printed; ASCII. */
export function fileInTar(archive: string): string {
  for (let at = 0; ; ) {
    const size = Number.parseInt(archive.slice(at + 124, at + 135), 8);
    if (Number.isNaN(size) || archive[at + 156] !== "x") return archive.slice(at + 512, at + 512 + size);
    at += 512 + size + tarPadding(size);
  }
}
