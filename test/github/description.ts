/** GitHub's OpenAPI description (test/fixtures/github-api), and checks of requests and answers against it. */
import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";

interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  schema: object;
}
interface Media {
  content?: Record<string, { schema: object }>;
}
export interface Operation {
  operationId: string;
  parameters?: (Parameter | { $ref: string })[];
  requestBody?: Media & { required?: boolean };
  responses: Record<string, Media | { $ref: string }>;
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, unknown>>;
  examples: Record<string, unknown>;
}

/** OpenAPI 3.0's `nullable` and references, in the words of JSON Schema. */
function toJsonSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toJsonSchema);
  if (value === null || typeof value !== "object") return value;
  const { nullable, ...rest } = value as Record<string, unknown>;
  const entries = Object.entries(rest).map(([key, inner]) => [
    key,
    key === "$ref" ? String(inner).replace("#/components/", "github#/") : toJsonSchema(inner),
  ]);
  const schema = Object.fromEntries(entries) as Record<string, unknown>;
  return nullable === true ? { anyOf: [schema, { type: "null" }] } : schema;
}

export class Description {
  readonly #document: Document;
  readonly #operations: { method: string; path: RegExp; names: string[]; operation: Operation }[];
  readonly #ajv: Ajv;
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: Document) {
    this.#document = document;
    this.#ajv = new Ajv({ strict: false, allErrors: false, coerceTypes: false, validateFormats: true });
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(toJsonSchema(document.components) as object, "github");
    this.#operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path: new RegExp(`^${path.replace(/\{\w+\}/g, "([^/]+)")}$`),
        names: [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name),
        operation,
      })),
    );
  }

  example(operation: string): unknown {
    return structuredClone(this.#document.examples[operation]);
  }

  find(
    method: string,
    pathname: string,
  ): { operation: Operation; parameters: Record<string, string> } | undefined {
    for (const { method: own, path, names, operation } of this.#operations) {
      const match = own === method ? path.exec(pathname) : null;
      if (match === null) continue;
      const values = match.slice(1).map(decodeURIComponent);
      return {
        operation,
        parameters: Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""])),
      };
    }
    return undefined;
  }

  checkRequest(
    operation: Operation,
    given: { path: Record<string, string>; query: Record<string, string>; body: unknown },
  ): string[] {
    const faults: string[] = [];
    const parameters = (operation.parameters ?? []).map((one) => this.#resolve<Parameter>(one));
    for (const place of ["path", "query"] as const) {
      const known = parameters.filter((one) => one.in === place);
      for (const name of Object.keys(given[place]))
        if (!known.some((one) => one.name === name))
          faults.push(`${operation.operationId}: no parameter ${name}`);
      for (const { name, required, schema } of known) {
        const text = given[place][name];
        if (text === undefined && required === true)
          faults.push(`${operation.operationId}: ${name} is missing`);
        if (text !== undefined)
          faults.push(...this.#check(`${operation.operationId} ${name}`, schema, asValue(text)));
      }
    }
    const schema = operation.requestBody?.content?.["application/json"]?.schema;
    if (schema === undefined && given.body !== undefined)
      faults.push(`${operation.operationId}: takes no body`);
    if (schema !== undefined && (given.body !== undefined || operation.requestBody?.required === true))
      faults.push(...this.#check(`${operation.operationId} body`, schema, given.body));
    return faults;
  }

  checkAnswer(operation: Operation, status: number, body: unknown): string[] {
    const response = operation.responses[status];
    if (response === undefined) return [`${operation.operationId}: GitHub never answers with ${status}`];
    const schema = this.#resolve<Media>(response).content?.["application/json"]?.schema;
    if (schema === undefined)
      return body === undefined ? [] : [`${operation.operationId}: ${status} has no body`];
    return this.#check(`${operation.operationId} ${status}`, schema, body);
  }

  #resolve<T>(value: T | { $ref: string }): T {
    const { $ref } = value as { $ref?: string };
    if ($ref === undefined) return value as T;
    const [, , kind = "", name = ""] = $ref.split("/");
    return this.#document.components[kind]?.[name] as T;
  }

  #check(name: string, schema: object, value: unknown): string[] {
    let validate = this.#validators.get(name);
    if (validate === undefined) {
      validate = this.#ajv.compile(toJsonSchema(schema) as object);
      this.#validators.set(name, validate);
    }
    if (validate(value)) return [];
    const [error] = validate.errors ?? [];
    return [
      `${name}: ${error?.instancePath || "it"} ${error?.message}: ${JSON.stringify(value)?.slice(0, 200)}`,
    ];
  }
}

/** A parameter's text as the value that its schema speaks of. */
function asValue(text: string): unknown {
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  return text === "true" || text === "false" ? text === "true" : text;
}
