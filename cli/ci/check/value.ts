import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type Scalar,
  visit,
} from "yaml";

/** More values than any job has, aliases unfolded. */
const MAX_VALUES = 50_000;

/** The nodes of one YAML document. An alias is read as the node that it names. */
export class Nodes {
  readonly #targets = new Map<Node, Node>();

  constructor(document: Document) {
    const anchors = new Map<string, Node>();
    visit(document, {
      Node: (_, node) => {
        if (isAlias(node)) {
          const target = anchors.get(node.source);
          if (target !== undefined) this.#targets.set(node, target);
        } else if (node.anchor !== undefined) anchors.set(node.anchor, node as Node);
      },
    });
  }

  open(node: unknown): Value {
    return new Value(this, node as Node | null, isAlias(node) ? (this.#targets.get(node) ?? null) : null);
  }
}

/** A scalar as it was written: `on`, `yes` and `1.0` are what they look like, whatever YAML makes of them. */
function scalarText(scalar: Scalar): string | undefined {
  if (typeof scalar.value === "string") return scalar.value;
  return scalar.value === null ? undefined : (scalar.source ?? String(scalar.value));
}

/** A value of a workflow with its place. One that is absent has neither text nor parts. */
export class Value {
  readonly #nodes: Nodes;
  readonly #target: Node | null;
  /** In characters from the start of the file. */
  readonly offset: number;
  /** Where it ends in the file. */
  readonly end: number;

  constructor(nodes: Nodes, node: Node | null, target: Node | null) {
    this.#nodes = nodes;
    this.#target = target ?? node;
    // what is found behind an alias is told where it stands, which is where it can be read
    this.offset = this.#target?.range?.[0] ?? 0;
    this.end = this.#target?.range?.[1] ?? 0;
  }

  /** What identifies it: two aliases of one anchor are the same. */
  get node(): unknown {
    return this.#target;
  }

  get text(): string | undefined {
    return isScalar(this.#target) ? scalarText(this.#target) : undefined;
  }

  get isMap(): boolean {
    return isMap(this.#target);
  }

  /** A list's items; a lone value counts as a list of one. */
  get items(): Value[] {
    if (isSeq(this.#target)) return this.#target.items.map((item) => this.#nodes.open(item));
    return this.text === undefined ? [] : [this];
  }

  /** A map's entries. Keys that are no text are left out. */
  get entries(): { key: Value; name: string; value: Value }[] {
    if (!isMap(this.#target)) return [];
    return this.#target.items.flatMap((pair: Pair) => {
      const key = this.#nodes.open(pair.key);
      return key.text === undefined ? [] : [{ key, name: key.text, value: this.#nodes.open(pair.value) }];
    });
  }

  /** A map's value. Names are compared as GitHub does: case matters not. */
  get(name: string): Value | undefined {
    return this.entries.find((entry) => entry.name.toLowerCase() === name)?.value;
  }

  /** All scalars below, without keys, in their order. @throws Error when aliases unfold to more than any job has */
  scalars(): Value[] {
    const found: Value[] = [];
    let visited = 0;
    const visit = (value: Value, open: readonly unknown[]): void => {
      visited += 1;
      if (visited > MAX_VALUES) throw new Error(`its aliases expand to more than ${MAX_VALUES} values`);
      if (value.text !== undefined) found.push(value);
      // a circle of aliases ends where it closes
      else if (!open.includes(value.node))
        for (const part of value.isMap ? value.entries.map((entry) => entry.value) : value.items)
          visit(part, [...open, value.node]);
    };
    visit(this, []);
    return found;
  }
}
