/** The API's types as plain TypeScript, for the published declarations: zod's own would make every reader of them install zod. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import * as schemas from "../api/schema.ts";

interface Json {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Json[];
  oneOf?: Json[];
  allOf?: Json[];
  items?: Json;
  prefixItems?: Json[];
  properties?: Record<string, Json>;
  required?: string[];
  additionalProperties?: boolean | Json;
  description?: string;
}

/** `export type NAME = z.infer<typeof SCHEMA>` of all files in api/. */
export function findTypes(
  root: string,
): { name: string; constant: string; schema: z.ZodType; io: "input" | "output" }[] {
  const text = readdirSync(join(root, "api"))
    .map((file) => readFileSync(join(root, "api", file), "utf8"))
    .join("\n");
  return [...text.matchAll(/^export type (\w+) = z\.(infer|input)<typeof (\w+)>;$/gm)].map(
    ([, name = "", kind, constant = ""]) => ({
      ...{ name, constant },
      schema: (schemas as unknown as Record<string, z.ZodType>)[constant] as z.ZodType,
      io: kind === "input" ? "input" : "output",
    }),
  );
}

function print(json: Json, indent: string): string {
  if (json.$ref !== undefined) return json.$ref;
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (json.enum !== undefined) return json.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = json.anyOf ?? json.oneOf;
  if (several !== undefined) return several.map((one) => print(one, indent)).join(" | ");
  if (json.allOf !== undefined) return json.allOf.map((one) => print(one, indent)).join(" & ");
  if (Array.isArray(json.type)) return json.type.map((type) => print({ ...json, type }, indent)).join(" | ");
  switch (json.type) {
    case "object":
      return printObject(json, indent);
    case "array":
      if (json.prefixItems !== undefined)
        return `[${json.prefixItems.map((one) => print(one, indent)).join(", ")}]`;
      return arrayOf(print(json.items ?? {}, indent));
    case "integer":
      return "number";
    case "string":
    case "number":
    case "boolean":
    case "null":
      return json.type;
    default:
      return "unknown";
  }
}

function arrayOf(item: string): string {
  return /^\w+$/.test(item) ? `${item}[]` : `(${item})[]`;
}

function printObject({ properties, required = [], additionalProperties }: Json, indent: string): string {
  if (properties === undefined || Object.keys(properties).length === 0) {
    const values = typeof additionalProperties === "object" ? print(additionalProperties, indent) : "unknown";
    return `Record<string, ${values}>`;
  }
  const inner = `${indent}  `;
  const fields = Object.entries(properties).map(([name, field]) => {
    const optional = !required.includes(name);
    const doc = field.description === undefined ? "" : `${inner}/** ${field.description} */\n`;
    return `${doc}${inner}${/^\w+$/.test(name) ? name : JSON.stringify(name)}${optional ? "?" : ""}: ${print(field, inner)}${optional ? " | undefined" : ""};\n`;
  });
  return `{\n${fields.join("")}${indent}}`;
}

/** What the comments in front of a schema's own fields say, by schema and field. */
function readDocs(root: string): Map<string, Map<string, string>> {
  const docs = new Map<string, Map<string, string>>();
  for (const file of readdirSync(join(root, "api"))) {
    const text = readFileSync(join(root, "api", file), "utf8");
    for (const [, schema = "", body = ""] of text.matchAll(/^export const (\w+) = ([\s\S]*?)^\S.*;$/gm)) {
      const fields = [...body.matchAll(/^( {2,4})\/\*\* (.*?) \*\/\n\1(\w+):/gm)];
      docs.set(schema, new Map(fields.map(([, , doc = "", field = ""]) => [field, doc])));
    }
  }
  return docs;
}

/** Gives the fields of a schema what its comments say of them. */
function withDocs(json: Json, docs: ReadonlyMap<string, string> | undefined): Json {
  if (docs === undefined || json.properties === undefined) return json;
  const properties = Object.entries(json.properties).map(([name, field]): [string, Json] => {
    const description = field.description ?? docs.get(name);
    return [name, description === undefined ? field : { ...field, description }];
  });
  return { ...json, properties: Object.fromEntries(properties) };
}

/** @returns the text of a declaration file with every type of the API */
export function printApiTypes(root: string): string {
  const types = findTypes(root);
  const docs = readDocs(root);
  const registry = z.registry<{ id: string }>();
  for (const { name, schema } of types) registry.add(schema, { id: name });
  const convert = (io: "input" | "output") =>
    z.toJSONSchema(registry, { io, uri: (id) => id, unrepresentable: "any" }).schemas as Record<string, Json>;
  const json = { input: convert("input"), output: convert("output") };
  return types
    .map(({ name, constant, io }) => {
      const shape = withDocs(json[io][name] ?? {}, docs.get(constant));
      return `export type ${name} = ${print(shape, "")};\n`;
    })
    .join("\n");
}

/** @returns a schema's output as an inline type */
export function printOutput(schema: z.ZodType): string {
  return print(z.toJSONSchema(schema, { io: "output", unrepresentable: "any" }) as Json, "");
}
