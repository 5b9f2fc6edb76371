/** Components of the OpenAPI document, as its readers want them. */
type Json = Record<string, unknown>;

const SCHEMAS = "#/components/schemas/";

/** Drops components that nothing refers to. A shape that only requests have loses the `Input` in its name. */
export function onlyUsed(document: Json): Json {
  const { schemas = {}, ...components } = (document.components ?? {}) as { schemas?: Record<string, Json> };
  const { components: _, ...rest } = document;
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    for (const name of refsOf(value)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas[name]);
    }
  };
  visit(rest);
  const names = new Map(
    [...used].map((name) => {
      const plain = name.replace(/Input$/, "");
      return [name, used.has(plain) ? name : plain];
    }),
  );
  const kept = Object.fromEntries([...used].sort().map((name) => [names.get(name), schemas[name]]));
  return renamed({ ...rest, components: { ...components, schemas: kept } }, names) as Json;
}

function refsOf(value: unknown): string[] {
  return [...JSON.stringify(value ?? null).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name = ""]) => name,
  );
}

function renamed(value: unknown, names: ReadonlyMap<string, string>): unknown {
  return JSON.parse(JSON.stringify(value), (key, part) =>
    key === "$ref" && typeof part === "string" && part.startsWith(SCHEMAS)
      ? `${SCHEMAS}${names.get(part.slice(SCHEMAS.length)) ?? part.slice(SCHEMAS.length)}`
      : part,
  );
}
