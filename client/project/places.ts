import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type Node } from "yaml";

/** The key's and the value's nodes for one step of a path; aliases are followed. */
function step(document: Document, node: unknown, key: PropertyKey): { key?: Node; value?: Node } {
  const at = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(at)) return isNode(at.items[Number(key)]) ? { value: at.items[Number(key)] as Node } : {};
  if (!isMap(at)) return {};
  const pair = at.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
  if (pair === undefined) return {};
  return {
    ...(isNode(pair.key) ? { key: pair.key } : {}),
    ...(isNode(pair.value) ? { value: pair.value } : {}),
  };
}

/** Offset of what a path leads to: its value, or its key when asked for or when it has no value; else of the deepest node there is. */
export function offsetOf(document: Document, path: readonly PropertyKey[], wanted: "key" | "value"): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [index, name] of path.entries()) {
    const { key, value } = step(document, node, name);
    const isLast = index === path.length - 1;
    const found = isLast && wanted === "value" ? (value ?? key) : (key ?? value);
    if (found === undefined) break;
    offset = found.range?.[0] ?? offset;
    node = value;
  }
  return offset;
}
