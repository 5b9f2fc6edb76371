/** A kernel's parts that were fetched before: used again when every byte of them is there. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { adoptListed, checkListed } from "../../../durable/inventory.ts";

/** Source: Documentation/x86/boot.rst in Linux's tree. */
const BZIMAGE = { magicAt: 0x202, magic: "HdrS", setupSectorsAt: 0x1f1, paragraphsAt: 0x1f4 };
const SECTOR = 512;
const PARAGRAPH = 16;
const ELF64 = { magic: "\x7fELF", sectionsAt: 0x28, entryBytesAt: 0x3a, entriesAt: 0x3c, headerBytes: 64 };

/** Whether the folder has all parts. One of an older version has no list of its files: it gets one if its files are as long as they say. */
export async function isKept(dir: string): Promise<boolean> {
  const state = await checkListed(dir);
  if (state !== "none") return state === "whole";
  if (!(await looksWhole(dir))) return false;
  await adoptListed(dir);
  return true;
}

async function looksWhole(dir: string): Promise<boolean> {
  try {
    const modules = (await readFile(join(dir, "modules.list"), "utf8")).split("\n").filter(Boolean);
    const contents = await Promise.all(modules.map((name) => readFile(join(dir, name))));
    return isWholeKernel(await readFile(join(dir, "vmlinuz"))) && contents.every(isWholeModule);
  } catch {
    return false;
  }
}

function isWholeKernel(image: Buffer): boolean {
  if (image.toString("latin1", BZIMAGE.magicAt, BZIMAGE.magicAt + 4) !== BZIMAGE.magic) return false;
  const setupSectors = image.readUInt8(BZIMAGE.setupSectorsAt) || 4;
  const protectedBytes = image.readUInt32LE(BZIMAGE.paragraphsAt) * PARAGRAPH;
  return image.length >= (setupSectors + 1) * SECTOR + protectedBytes;
}

/** Its table of sections is behind all else. */
function isWholeModule(module: Buffer): boolean {
  if (module.length < ELF64.headerBytes || module.toString("latin1", 0, 4) !== ELF64.magic) return false;
  const entries = module.readUInt16LE(ELF64.entriesAt) * module.readUInt16LE(ELF64.entryBytesAt);
  return module.length >= Number(module.readBigUInt64LE(ELF64.sectionsAt)) + entries;
}
