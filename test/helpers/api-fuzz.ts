/** Requests made from the daemon's own OpenAPI document, right in part or not at all, and what every answer must be. */
import { request } from "node:http";
import fc from "fast-check";
import { expect } from "vitest";

interface Schema {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
  additionalProperties?: Schema | boolean;
}
interface Operation {
  parameters?: { in: "path" | "query"; name: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
export interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
}

export interface ApiRequest {
  method: string;
  path: string;
  body: Buffer | null;
  contentType: string;
}
export interface ApiAnswer {
  status: number;
  text: string;
}

/** Names and paths an attacker would try. */
const nasty = [
  "",
  ".",
  "..",
  "../..",
  "%2e%2e",
  "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
  "..%2f..%2frecord.json",
  "%00",
  "a%00b",
  "%",
  "%zz",
  "%ff%fe",
  "//",
  "\\..\\..",
  "constructor",
  "__proto__",
  "toString",
  "base",
  "base:1",
  "~",
  "*",
  "?",
  "#",
  "%0d%0aX-Injected:%201",
  "a".repeat(250),
  "é",
  "🧊",
  "'\"<script>",
  "$(id)",
  "-rf",
  " ",
];
const word = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ maxLength: 30 }),
  fc.stringMatching(/^[a-z0-9-]{1,12}$/),
);
const anyText = fc.oneof(
  word,
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom("/", "/etc/passwd", "/../../x", "\0", "x".repeat(9000)),
);
const anyNumber = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, -1, 0.5, 1e308, 2 ** 53, 2 ** 31),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

function anyValue(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const right = rightValue(schema, depth);
  return fc.oneof(
    { weight: 8, arbitrary: right },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown> },
  );
}

function rightValue(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return fc.oneof(...either.map((one) => anyValue(one, depth + 1)));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  switch (schema.type) {
    case "object": {
      const properties = Object.entries(schema.properties ?? {}).map(
        ([name, of]) => [name, anyValue(of, depth + 1)] as const,
      );
      const known = fc.record(Object.fromEntries(properties), { requiredKeys: [] });
      const extra =
        typeof schema.additionalProperties === "object"
          ? fc.dictionary(anyText, anyValue(schema.additionalProperties, depth + 1), { maxKeys: 4 })
          : fc.constant({});
      return fc.tuple(known, extra).map(([a, b]) => ({ ...b, ...a }));
    }
    case "array":
      return fc.array(depth < 5 ? anyValue(schema.items ?? {}, depth + 1) : fc.constant(null), {
        maxLength: 4,
      });
    case "integer":
    case "number":
      return fc.oneof(
        anyNumber,
        fc.integer({
          min: Math.max(schema.minimum ?? 0, -(2 ** 31)),
          max: Math.min(schema.maximum ?? 100, 2 ** 31 - 1),
        }),
      );
    case "boolean":
      return fc.boolean();
    case "string":
      return anyText;
    default:
      return fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>;
  }
}

/** `names`: references that exist, tried among others. Operations in `except` ("post /v1/shutdown") are left out. */
export function requests(
  document: OpenApi,
  options: { names: string[]; except: string[] },
): fc.Arbitrary<ApiRequest> {
  const reference = fc.oneof(
    {
      weight: options.names.length > 0 ? 3 : 0,
      arbitrary: fc.constantFrom(...options.names, "none").map(encodeURIComponent),
    },
    { weight: 2, arbitrary: word.map((text) => (/%/.test(text) ? text : encodeURIComponent(text))) },
    { weight: 1, arbitrary: fc.constantFrom(...nasty.filter((text) => /^[!-~]*$/.test(text))) },
  );
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => !options.except.includes(`${method} ${path}`))
      .map(([method, operation]) => requestOf(method, path, operation, reference)),
  );
  const lost = fc.record({
    method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"),
    path: fc
      .array(reference, { maxLength: 5 })
      .map((parts) => `/v1/${parts.join("/")}`.replace(/[\r\n ]/g, "")),
    body: fc.option(anyText.map((text) => Buffer.from(text))),
    contentType: fc.constantFrom("application/json", "text/plain"),
  });
  return fc.oneof(...operations.map((arbitrary) => ({ weight: 2, arbitrary })), {
    weight: 4,
    arbitrary: lost.filter(({ method, path }) => !options.except.includes(`${method.toLowerCase()} ${path}`)),
  });
}

function requestOf(
  method: string,
  path: string,
  operation: Operation,
  reference: fc.Arbitrary<string>,
): fc.Arbitrary<ApiRequest> {
  const parameters = operation.parameters ?? [];
  const inPath = fc.tuple(...parameters.filter((one) => one.in === "path").map(() => reference));
  const names = parameters.filter((one) => one.in === "path").map(({ name }) => name);
  const query = fc.record(
    Object.fromEntries(
      parameters
        .filter((one) => one.in === "query")
        .map(({ name }) => [name, fc.oneof(fc.constant("/tmp/x"), fc.constant("/etc"), anyText)]),
    ),
    {
      requiredKeys: [],
    },
  );
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const body = schema
    ? fc.oneof(
        { weight: 6, arbitrary: anyValue(schema).map((value) => Buffer.from(JSON.stringify(value) ?? "")) },
        {
          weight: 1,
          arbitrary: fc
            .constantFrom("", "{", "null", '{"a":1e999}', `{"a":${"[".repeat(5000)}`, '{"__proto__":{"x":1}}')
            .map((text) => Buffer.from(text)),
        },
      )
    : fc.option(fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)));
  return fc
    .tuple(
      inPath,
      query,
      body,
      fc.constantFrom("application/json", "application/json", "application/octet-stream", "text/plain", ""),
    )
    .map(([values, asked, bytes, type]) => {
      const filled = names.reduce(
        (text, name, index) => text.replace(`{${name}}`, (values as string[])[index] ?? ""),
        path,
      );
      const search = new URLSearchParams(
        Object.entries(asked).map(([name, value]): [string, string] => [name, String(value)]),
      ).toString();
      const contentType =
        method === "put" && !schema
          ? type === "application/json"
            ? "application/octet-stream"
            : type
          : type;
      return {
        method: method.toUpperCase(),
        path: (search ? `${filled}?${search}` : filled).replace(/[\r\n ]/g, ""),
        body: method === "get" ? null : bytes,
        contentType,
      };
    });
}

/** Node's limit on a request's headers; a server that hits it may hang up before the request was written. */
const MAX_HEADER_BYTES = 16_384;
const REFUSED_UNREAD: ApiAnswer = {
  status: 431,
  text: '{"error":{"code":"usage","message":"refused before it was read"}}',
};

/** Sends it as it is, however odd. */
export function send(
  socketPath: string,
  { method, path, body, contentType }: ApiRequest,
): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string | number> = body
      ? { "content-length": body.length, ...(contentType ? { "content-type": contentType } : {}) }
      : {};
    // latin1, so that bytes go out as they are.
    const outgoing = request({ socketPath, method, path: encodePath(path), headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
      answer.on("error", reject);
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      const hungUp = error.code === "EPIPE" || error.code === "ECONNRESET";
      if (hungUp && outgoing.path.length > MAX_HEADER_BYTES) resolve(REFUSED_UNREAD);
      else reject(error);
    });
    outgoing.end(body ?? undefined);
  });
}

/** Node refuses to send what is not visible ASCII; that much is encoded. */
function encodePath(path: string): string {
  return path.replace(/[^!-~]/gu, (character) => {
    try {
      return encodeURIComponent(character);
    } catch {
      return "%EF%BF%BD";
    }
  });
}

/** No answer is a failure of the daemon's own, and each error is one a client can read. `host-not-ready` is about the host. */
export function expectSound({ status, text }: ApiAnswer): void {
  const codes: string[] = [];
  if (status >= 400) {
    const { error } = JSON.parse(text);
    expect(error.message).toEqual(expect.any(String));
    codes.push(error.code);
  } else if (text.startsWith('{"type":"')) {
    for (const line of text.trim().split("\n")) {
      const { type, error } = JSON.parse(line);
      if (type === "error") codes.push(error.code);
    }
  }
  expect(codes).not.toContain("internal");
  if (status >= 500) expect(codes).toEqual([expect.stringMatching(/^(host-not-ready|no-capacity)$/)]);
}
