/** The OpenAPI document: the routes' schemas, with what `operations` says of each route, and the API's shapes as components. */
import type { RouteOptions } from "fastify";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import * as shapes from "../../api/schema.ts";
import type { Rights } from "../../api/token.ts";
import { onlyUsed } from "./components.ts";
import { type Operation, operations, RESULT_FIELDS, type Tag } from "./operations.ts";

type Json = Record<string, unknown>;

const TAGS: Record<Tag, string> = {
  sandboxes: "Running, paused and stopped machines",
  execs: "Commands in sandboxes",
  files: "Files of sandboxes",
  network: "Port forwards, previews and network policies of sandboxes",
  captures: "Frozen machines of failed commands",
  snapshots: "Frozen machines from which sandboxes are thawed, and the templates from which they are built",
  transfers: "Transfers of captures and snapshots between hosts and stores",
  events: "Events of the host",
  host: "The daemon and its host",
};

const ERRORS: Record<number, string> = {
  400: "The request is invalid",
  401: "The request came without a valid token or session, over TCP",
  403: "The token lacks the right, or the store refuses access",
  404: "The named object does not exist",
  409: "The object's state does not allow the request, or the name is taken",
  426: "The daemon is older than its client",
  500: "The daemon failed",
  502: "The guest's agent failed",
  503: "The host has no capacity, or is not ready",
  504: "The request timed out",
  507: "The host's disk is full",
};

/** Query strings and path parameters are written out at each route. */
const registry = z.registry<{ id: string }>();
for (const [name, shape] of Object.entries(shapes))
  if (isNamed(name, shape)) registry.add(shape, { id: `${name.slice(0, 1).toUpperCase()}${name.slice(1)}` });

function isNamed(name: string, shape: unknown): shape is z.ZodType {
  if (/(Query|Params|Flag)$/.test(name)) return false;
  return (
    shape instanceof z.ZodObject ||
    shape instanceof z.ZodUnion ||
    shape instanceof z.ZodDiscriminatedUnion ||
    shape instanceof z.ZodEnum
  );
}

const transform = createJsonSchemaTransform({ schemaRegistry: registry });
const withShapes = createJsonSchemaTransformObject({ schemaRegistry: registry });

/** What a route is described by. Throws for a route that nobody has described. */
export function operationOf({ method, url }: { method: RouteOptions["method"]; url: string }): Operation {
  const key = `${method} ${url}`;
  const operation = operations[key];
  if (operation === undefined) throw new Error(`${key} has no description in daemon/openapi/operations.ts`);
  return operation;
}

/** What a token has to have for a route. Reading needs `read`, everything else `operate`, unless its description says otherwise. */
export function rightsOf(route: { method: string; url: string }): Rights | "none" {
  // Fastify answers HEAD for every GET.
  const method = route.method === "HEAD" ? "GET" : route.method;
  return operationOf({ ...route, method }).rights ?? (method === "GET" ? "read" : "operate");
}

/** Options of the swagger plugin. */
export function openApiOptions(version: string) {
  return {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "thaw",
        version,
        description:
          "The daemon's API, over a unix socket, or over TCP with a token or, in a browser, the cookie of a session. Interactive commands go over WebSockets, GET /v1/run and GET /v1/sandboxes/{sandbox}/execs/{exec}/attach: docs/API.md describes their channels.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      servers: [{ url: "/", description: "The daemon's unix socket" }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      // Who can open the socket has all rights.
      security: [{}, { token: [] }],
      components: {
        securitySchemes: {
          token: {
            type: "http",
            scheme: "bearer",
            description: "A token of `thaw token create`, at the listener",
          },
        },
      },
    },
    transform: (document: Parameters<typeof transform>[0]) => {
      const { schema, url } = transform(document);
      const { route } = document as unknown as { route: RouteOptions };
      // Fastify answers HEAD for every GET.
      if (route.method === "HEAD") return { schema: { hide: true }, url };
      const at = { method: String(route.method), url };
      return { schema: describe(schema as Json, operationOf(at), rightsOf(at)), url };
    },
    transformObject: (document: Parameters<typeof withShapes>[0]) =>
      withExamples(onlyUsed(withShapes(document) as unknown as Json)),
  };
}

interface Paths {
  [path: string]: Record<string, { operationId: string; requestBody?: { content: Record<string, Json> } }>;
}

/** Gives the bodies of requests their examples. */
function withExamples(document: Json): Json {
  const examples = new Map(Object.values(operations).map(({ id, example }) => [id, example]));
  for (const methods of Object.values(document.paths as Paths))
    for (const { operationId, requestBody } of Object.values(methods)) {
      const body = requestBody?.content["application/json"];
      const example = examples.get(operationId);
      if (body !== undefined && example !== undefined) body.example = example;
    }
  return document;
}

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const content = (type: string, schema: Json): Json => ({ [type]: { schema } });
const binary: Json = { type: "string", format: "binary" };

function describe(
  schema: Json,
  { id, tag, summary, upload, ...operation }: Operation,
  rights: Rights | "none",
): Json {
  const { body, response = {}, ...rest } = schema as { body?: Json; response?: Json };
  const errors = [400, 401, 403, 426, 500, ...(operation.errors ?? [])].map((status) => [
    String(status),
    { description: ERRORS[status], content: content("application/json", ref("ErrorBody")) },
  ]);
  const answers = operation.answer === undefined ? describeJson(response) : answersOf(operation.answer);
  return {
    ...rest,
    ...{ operationId: id, tags: [tag], summary },
    ...{ "x-thaw-rights": rights, security: rights === "none" ? [{}] : [{}, { token: [rights] }] },
    ...(upload === undefined || upload === false
      ? {}
      : { consumes: ["application/octet-stream", ...(upload === true ? [] : [upload])], body: binary }),
    ...(body === undefined || upload ? {} : { body }),
    response: { ...answers, ...Object.fromEntries(errors) },
  };
}

function describeJson(response: Json): Json {
  return Object.fromEntries(
    Object.entries(response).map(([status, schema]) => [
      status,
      { description: "Done", content: content("application/json", schema as Json) },
    ]),
  );
}

function eachLine(name: string): Json {
  return {
    200: { description: `One ${name} per line`, content: content("application/x-ndjson", ref(name)) },
  };
}

function answersOf(answer: NonNullable<Operation["answer"]>): Json {
  if ("lines" in answer) {
    const properties = Object.fromEntries(answer.lines.map((name) => [name, fieldOf(name)]));
    const required = answer.lines.length > 1 && answer.lines.includes("capture") ? [] : [...answer.lines];
    return {
      200: {
        description: "Lines of progress, and a last line with the result or an error",
        content: content("application/x-ndjson", ref("StreamLine")),
      },
      201: {
        description: "Only the result, for a client that accepts application/json",
        content: content("application/json", { type: "object", properties, required }),
      },
    };
  }
  switch (answer.kind) {
    case "bytes":
      return { 200: { description: "Bytes", content: content("application/octet-stream", binary) } };
    case "tree":
      return {
        200: {
          description: "Bytes",
          content: {
            ...content("application/octet-stream", binary),
            ...content("application/x-tar", binary),
          },
        },
      };
    case "events":
      return {
        200: {
          description: "Server-sent events; the data of each one is an Event",
          content: content("text/event-stream", ref("Event")),
        },
      };
    case "entries":
      return eachLine("NetworkEntry");
    case "stats":
      return eachLine("StatsSample");
    case "message":
      return {
        200: {
          description: "The protocol's answer",
          content: {
            ...content("application/json", { type: "object" }),
            ...content("text/event-stream", { type: "string" }),
          },
        },
        202: { description: "The message needs no answer" },
      };
    case "leaving":
      return {
        202: { description: "The daemon stops" },
        204: { description: "The daemon keeps running, because its build is not older" },
      };
    case "nothing":
      return { 204: { description: "Done" } };
  }
}

function fieldOf(name: string): Json {
  const shape = RESULT_FIELDS[name as keyof typeof RESULT_FIELDS];
  const known = shape && registry.get(shape)?.id;
  if (known !== undefined) return ref(known);
  switch (name) {
    case "sandboxes":
      return { type: "array", items: ref("Sandbox") };
    case "pauseMs":
      return { type: "number" };
    case "converged":
      return { type: "boolean" };
    default:
      return { enum: ["difference", "freeze"] };
  }
}
