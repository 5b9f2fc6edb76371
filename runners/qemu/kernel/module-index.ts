/** Writer of kmod's binary indexes (`modules.dep.bin` and the like). Source: libkmod/libkmod-index.h of kmod. */

const MAGIC = 0xb007f457;
const VERSION = 0x0002_0001;
const HEADER_BYTES = 12;
const HAS_PREFIX = 0x8000_0000;
const HAS_VALUES = 0x4000_0000;
const HAS_CHILDREN = 0x2000_0000;

interface Node {
  values: { value: string; priority: number }[];
  children: Map<number, Node>;
}

/** An index of ASCII keys; a key's values stay in the order given. */
export function moduleIndex(entries: Iterable<readonly [key: string, value: string]>): Buffer {
  const root = node();
  let priority = 0;
  for (const [key, value] of entries) {
    let at = root;
    for (const byte of Buffer.from(key, "latin1")) {
      if (byte >= 128) throw new Error(`not an ASCII key: ${key}`);
      const next = at.children.get(byte) ?? node();
      at.children.set(byte, next);
      at = next;
    }
    at.values.push({ value, priority: priority++ });
  }
  const chunks: Buffer[] = [];
  const rest = { at: HEADER_BYTES };
  const rootOffset = write(root, chunks, rest);
  return Buffer.concat([numbers(MAGIC, VERSION, rootOffset), ...chunks]);
}

function node(): Node {
  return { values: [], children: new Map() };
}

/** Children before their parent, which tells where they are. @returns the node's offset, with what it has in the top bits */
function write(start: Node, chunks: Buffer[], end: { at: number }): number {
  // What has one way to go is a prefix.
  const prefix: number[] = [];
  let at = start;
  while (at.values.length === 0 && at.children.size === 1) {
    const [[byte, next]] = [...at.children] as [[number, Node]];
    prefix.push(byte);
    at = next;
  }
  const { values, children } = at;
  const parts: Buffer[] = [];
  if (prefix.length > 0) parts.push(Buffer.from([...prefix, 0]));
  if (children.size > 0) {
    const [first, last] = [Math.min(...children.keys()), Math.max(...children.keys())];
    const offsets = Array.from({ length: last - first + 1 }, (_, n) => {
      const child = children.get(first + n);
      return child === undefined ? 0 : write(child, chunks, end);
    });
    parts.push(Buffer.from([first, last]), numbers(...offsets));
  }
  if (values.length > 0) {
    parts.push(numbers(values.length));
    for (const { value, priority } of values)
      parts.push(numbers(priority), Buffer.from(`${value}\0`, "latin1"));
  }
  const bytes = Buffer.concat(parts);
  const offset = end.at;
  chunks.push(bytes);
  end.at += bytes.length;
  const flags =
    (prefix.length > 0 ? HAS_PREFIX : 0) +
    (values.length > 0 ? HAS_VALUES : 0) +
    (children.size > 0 ? HAS_CHILDREN : 0);
  return offset + flags;
}

function numbers(...all: number[]): Buffer {
  const bytes = Buffer.alloc(4 * all.length);
  all.forEach((number, n) => void bytes.writeUInt32BE(number, 4 * n));
  return bytes;
}
