/** What each route of the API does, for the OpenAPI document: a name, a group, a sentence, its answer, and the errors that it has beyond a bad request. */
import type { z } from "zod";
import { artifact, capture, pushed, rerun, type StreamLine, sandbox, snapshot } from "../../api/schema.ts";
import type { Rights } from "../../api/token.ts";

export type Tag =
  | "captures"
  | "events"
  | "execs"
  | "files"
  | "host"
  | "network"
  | "sandboxes"
  | "snapshots"
  | "transfers";

type ResultField = Exclude<keyof Extract<StreamLine, { type: "result" }>, "type">;

export interface Operation {
  id: string;
  tag: Tag;
  summary: string;
  /** What a token needs; default: `read` to GET, else `operate`. `none`: the request needs no token. */
  rights?: Rights | "none";
  /** Statuses of its errors beside 400, 426 and 500. */
  errors?: readonly number[];
  /** Where the route's own schema does not say what it answers. */
  answer?:
    | { lines: readonly ResultField[] }
    | { kind: "bytes" | "tree" | "events" | "entries" | "stats" | "nothing" }
    | { kind: "leaving" | "message" };
  /** Its body is bytes, of this type too. */
  upload?: boolean | "application/x-tar";
  /** Of its body. */
  example?: unknown;
}

/** What the fields of a result are. */
export const RESULT_FIELDS: Partial<Record<ResultField, z.ZodType>> = {
  artifact,
  capture,
  pushed,
  rerun,
  sandbox,
  snapshot,
};

const bytes = { kind: "bytes" } as const;
const tree = { kind: "tree" } as const;
const nothing = { kind: "nothing" } as const;
/** Of what acts on a machine. */
const machine = [404, 409, 502, 503, 504, 507];

export const operations: Readonly<Record<string, Operation>> = {
  "GET /v1/info": { id: "getInfo", tag: "host", summary: "Describe the daemon" },
  "GET /v1/doctor": { id: "getDoctor", tag: "host", summary: "Report what the host has and what is missing" },
  "GET /v1/disk": { id: "getDisk", tag: "host", summary: "Measure what takes the host's disk" },
  "GET /v1/limits": {
    ...{ id: "getLimits", tag: "host", summary: "Get what sandboxes may take, and what is left of it" },
  },
  "GET /v1/openapi.json": { id: "getOpenApi", tag: "host", summary: "Get this document" },
  "POST /v1/shutdown": {
    id: "shutDown",
    rights: "admin",
    tag: "host",
    summary: "Stop the daemon; machines keep running",
    answer: { kind: "leaving" },
  },
  "POST /v1/prune": {
    ...{
      id: "prune",
      rights: "admin",
      tag: "host",
      summary: "Remove captures and caches that exceed the host's budgets, and unused snapshots",
    },
    ...{ errors: [409, 503], example: { dryRun: true } },
  },
  "GET /v1/audit": {
    ...{ id: "readAudit", tag: "host", summary: "Read who did what, the newest first", rights: "admin" },
  },
  "GET /v1/quarantine": { id: "listQuarantine", tag: "host", summary: "List state that could not be read" },
  "POST /v1/quarantine/:entry/restore": {
    ...{
      id: "restoreQuarantined",
      rights: "admin",
      tag: "host",
      summary: "Put an entry back to its place and read it again",
      errors: [404, 409],
    },
  },
  "DELETE /v1/quarantine/:entry": {
    ...{
      id: "removeQuarantined",
      rights: "admin",
      tag: "host",
      summary: "Delete an entry for good",
      errors: [404, 409],
      answer: nothing,
    },
  },
  "DELETE /v1/requests/:request": {
    ...{
      id: "cancelRequest",
      tag: "host",
      summary: "Cancel a request and undo its effects",
      answer: nothing,
    },
  },
  "GET /v1/events": {
    id: "followEvents",
    tag: "events",
    summary: "Follow events",
    errors: [503],
    answer: { kind: "events" },
  },

  "GET /v1/templates": {
    id: "listTemplates",
    tag: "snapshots",
    summary: "List the shipped templates, and others that were built here",
  },
  "GET /v1/templates/:template/recipe": {
    id: "getRecipe",
    tag: "snapshots",
    summary: "Get the text of a shipped template's recipe",
    errors: [404],
  },
  "POST /v1/templates/describe": {
    ...{ id: "describeTemplate", rights: "read", tag: "snapshots" },
    ...{
      summary: "Describe a client's template as the list does",
      example: { recipe: "name: shop\nfrom: debian:bookworm\n" },
    },
  },
  "POST /v1/templates/build": {
    ...{
      id: "buildTemplate",
      tag: "snapshots",
      summary: "Build a template into a snapshot",
      errors: [404, 503, 507],
    },
    ...{ answer: { lines: ["snapshot"] }, example: { template: "base" } },
  },
  "POST /v1/templates/prune": {
    ...{ id: "pruneTemplates", rights: "admin", tag: "snapshots" },
    ...{ summary: "Remove kept steps that no built template needs" },
    ...{ errors: [503], example: { dryRun: true } },
  },
  "DELETE /v1/templates/:template": {
    id: "removeTemplate",
    tag: "snapshots",
    summary: "Remove the snapshots built of a template, and its steps",
    errors: [404, 409],
  },
  "GET /v1/snapshots": { id: "listSnapshots", tag: "snapshots", summary: "List snapshots" },
  "GET /v1/snapshots/:snapshot/packages": {
    id: "listPackages",
    tag: "snapshots",
    summary: "List a snapshot's packages, and which are known to be outdated",
    errors: [404, 409],
  },
  "GET /v1/snapshots/:snapshot": {
    id: "getSnapshot",
    tag: "snapshots",
    summary: "Describe a snapshot",
    errors: [404, 409],
  },
  "POST /v1/snapshots/:snapshot/tags": {
    ...{
      id: "tagSnapshot",
      tag: "snapshots",
      summary: "Tag a snapshot",
      errors: [404, 409],
      example: { tag: "node:lts" },
    },
  },
  "POST /v1/snapshots/:snapshot/verify": {
    ...{
      id: "verifySnapshot",
      tag: "snapshots",
      summary: "Check the digest of every part",
      errors: [404, 409],
    },
  },
  "DELETE /v1/snapshots/:snapshot": {
    ...{ id: "removeSnapshot", tag: "snapshots", summary: "Remove a snapshot, or one of its several tags" },
    ...{ errors: [404, 409], answer: nothing },
  },

  "POST /v1/sandboxes": {
    ...{
      id: "createSandbox",
      tag: "sandboxes",
      summary: "Thaw a sandbox",
      errors: machine,
      answer: { lines: ["sandbox"] },
    },
    ...{ example: { source: { template: "base" }, name: "web", labels: { repo: "shop" }, ttlMs: 3_600_000 } },
  },
  "GET /v1/sandboxes": { id: "listSandboxes", tag: "sandboxes", summary: "List sandboxes" },
  "GET /v1/sandboxes/:sandbox": {
    id: "getSandbox",
    tag: "sandboxes",
    summary: "Describe a sandbox",
    errors: [404],
  },
  "PATCH /v1/sandboxes/:sandbox": {
    ...{
      id: "updateSandbox",
      tag: "sandboxes",
      summary: "Rename a sandbox, set or remove labels, set timers",
      errors: [404, 409],
    },
    ...{ example: { labels: { reviewed: "yes", draft: null } } },
  },
  "DELETE /v1/sandboxes/:sandbox": {
    ...{
      id: "removeSandbox",
      tag: "sandboxes",
      summary: "Stop and remove a sandbox",
      errors: [404, 504],
      answer: nothing,
    },
  },
  "POST /v1/sandboxes/:sandbox/cache": {
    id: "saveCache",
    tag: "sandboxes",
    summary: "Save a sandbox's cached folders for later runs",
    errors: machine,
  },
  "GET /v1/caches": { id: "listCaches", tag: "host", summary: "List caches" },
  "DELETE /v1/caches/:cache": {
    id: "removeCache",
    tag: "host",
    summary: "Remove a cache",
    errors: [404],
    answer: nothing,
  },
  "GET /v1/pools": { id: "listPools", tag: "host", summary: "List pools of machines that are ready" },
  "PUT /v1/pools": {
    id: "setPoolMode",
    rights: "admin",
    tag: "host",
    summary: "Have pools follow the last hour's use, or have none",
    errors: [409, 503],
    example: { mode: "auto" },
  },
  "PUT /v1/pools/:pool": {
    id: "resizePool",
    rights: "admin",
    tag: "host",
    summary: "Set how many machines a pool keeps ready; 0 ends it",
    errors: [409, 503],
    example: { size: 2 },
  },
  "GET /v1/tokens": {
    ...{ id: "listTokens", tag: "host", summary: "List the tokens of the listener", rights: "admin" },
  },
  "POST /v1/tokens": {
    ...{
      id: "createToken",
      tag: "host",
      summary: "Make a token; only this answer has its text",
      rights: "admin",
    },
    ...{ errors: [409, 503], example: { name: "ci", rights: "operate" } },
  },
  "DELETE /v1/tokens/:token": {
    ...{ id: "revokeToken", tag: "host", summary: "End a token, and what is open with it", rights: "admin" },
    errors: [404, 503],
  },
  "POST /v1/tickets": {
    ...{
      id: "createTicket",
      tag: "host",
      summary: "Make a one-time link that opens the page in a browser",
      rights: "read",
    },
    ...{ errors: [409, 503], example: { rights: "operate" } },
  },
  "POST /v1/session": {
    ...{
      id: "beginSession",
      tag: "host",
      summary: "Begin a browser's session with a ticket or a token; the answer sets its cookie",
      rights: "none",
    },
    ...{ errors: [409, 503], example: { ticket: "TICKET" } },
  },
  "GET /v1/session": {
    id: "getSession",
    tag: "host",
    summary: "Describe the session or token of the request",
  },
  "DELETE /v1/session": {
    ...{ id: "endSession", tag: "host", summary: "End the browser's session, and what is open with it" },
    ...{ rights: "read", errors: [503], answer: nothing },
  },
  "POST /mcp": {
    ...{
      id: "mcp",
      tag: "host",
      summary: "Answer a message of the Model Context Protocol",
      rights: "read",
    },
    answer: { kind: "message" },
  },
  "GET /mcp": {
    id: "mcpStream",
    tag: "host",
    summary: "Not offered: the protocol's messages are all answered",
  },
  "POST /v1/sandboxes/:sandbox/pause": {
    id: "pauseSandbox",
    tag: "sandboxes",
    summary: "Pause a sandbox",
    errors: machine,
  },
  "POST /v1/sandboxes/:sandbox/resume": {
    ...{
      id: "resumeSandbox",
      tag: "sandboxes",
      summary: "Resume a paused or frozen sandbox",
      errors: machine,
    },
  },
  "POST /v1/sandboxes/:sandbox/stop": {
    id: "stopSandbox",
    tag: "sandboxes",
    summary: "Freeze a sandbox to disk and stop its machine, until it is resumed",
    errors: machine,
  },
  "POST /v1/sandboxes/:sandbox/extend": {
    ...{
      id: "extendSandbox",
      tag: "sandboxes",
      summary: "Extend a sandbox's time to live",
      errors: [404, 409],
    },
    ...{ example: { byMs: 600_000 } },
  },
  "GET /v1/sandboxes/:sandbox/wait": {
    ...{
      id: "waitForSandbox",
      tag: "sandboxes",
      summary: "Wait until a sandbox or one of its execs ends",
      errors: [404, 504],
    },
  },
  "POST /v1/sandboxes/:sandbox/freeze": {
    ...{
      id: "freezeSandbox",
      tag: "sandboxes",
      summary: "Create a snapshot of a sandbox, which keeps running",
      errors: machine,
    },
    ...{ answer: { lines: ["snapshot", "pauseMs", "converged"] }, example: { tag: "web:ready" } },
  },
  "POST /v1/sandboxes/:sandbox/fork": {
    ...{
      id: "forkSandbox",
      tag: "sandboxes",
      summary: "Create forks of a sandbox from its current state",
      errors: machine,
    },
    ...{ answer: { lines: ["sandboxes", "pauseMs", "method"] }, example: { count: 2, name: "copy" } },
  },
  "GET /v1/stats": {
    ...{ id: "followStats", tag: "sandboxes", summary: "Measure the resources that all sandboxes use" },
    ...{ errors: [503], answer: { kind: "stats" } },
  },
  "GET /v1/sandboxes/:sandbox/stats": {
    ...{
      id: "getStats",
      tag: "sandboxes",
      summary: "Measure the resources that a sandbox uses",
      errors: machine,
    },
  },
  "GET /v1/sandboxes/:sandbox/processes": {
    ...{
      id: "listProcesses",
      tag: "sandboxes",
      summary: "List the processes of a sandbox and their listening ports",
      errors: [404],
    },
  },
  "POST /v1/sandboxes/:sandbox/captures": {
    ...{
      id: "captureSandbox",
      tag: "sandboxes",
      summary: "Capture a sandbox, which keeps running",
      errors: machine,
    },
  },

  "GET /v1/sandboxes/:sandbox/execs": {
    id: "listExecs",
    tag: "execs",
    summary: "List a sandbox's commands",
    errors: [404],
  },
  "POST /v1/sandboxes/:sandbox/execs": {
    ...{ id: "startExec", tag: "execs", summary: "Start a command", errors: machine },
    ...{ example: { argv: ["npm", "run", "dev"], env: { PORT: "8080" } } },
  },
  "POST /v1/sandboxes/:sandbox/exec": {
    ...{ id: "runExec", tag: "execs", summary: "Run a command to its end", errors: machine },
    ...{ example: { argv: ["uname", "-a"], maxOutputBytes: 65_536 } },
  },
  "GET /v1/sandboxes/:sandbox/execs/:exec": {
    id: "getExec",
    tag: "execs",
    summary: "Describe a command",
    errors: [404],
  },
  "POST /v1/sandboxes/:sandbox/execs/:exec/signal": {
    ...{
      id: "signalExec",
      tag: "execs",
      summary: "Send a signal to a command",
      errors: machine,
      answer: nothing,
    },
    ...{ example: { signal: "TERM", to: "tree" } },
  },
  "GET /v1/sandboxes/:sandbox/execs/:exec/logs": {
    ...{
      id: "readLogs",
      tag: "execs",
      summary: "Read a command's output as records",
      errors: [404],
      answer: bytes,
    },
  },

  "PUT /v1/sandboxes/:sandbox/tree": {
    ...{
      id: "writeTree",
      tag: "files",
      summary: "Unpack a tree stream or a tar archive in a sandbox",
      errors: machine,
      upload: "application/x-tar",
    },
  },
  "GET /v1/sandboxes/:sandbox/tree": {
    ...{
      id: "readTree",
      tag: "files",
      summary: "Read a folder as a tree stream, or as the tar archive that Accept asks for",
      errors: machine,
      answer: tree,
    },
  },
  "PUT /v1/sandboxes/:sandbox/files": {
    ...{
      id: "writeFile",
      tag: "files",
      summary: "Write a file",
      errors: machine,
      answer: nothing,
      upload: true,
    },
  },
  "GET /v1/sandboxes/:sandbox/files": {
    id: "readFile",
    tag: "files",
    summary: "Read a file",
    errors: machine,
    answer: bytes,
  },
  "GET /v1/sandboxes/:sandbox/stat": {
    id: "statFile",
    tag: "files",
    summary: "Describe a file",
    errors: machine,
  },
  "GET /v1/sandboxes/:sandbox/list": {
    id: "listFolder",
    tag: "files",
    summary: "List a folder",
    errors: machine,
  },

  "GET /v1/sandboxes/:sandbox/ports": {
    id: "listPorts",
    tag: "network",
    summary: "List a sandbox's forwards and listening ports",
    errors: [404],
  },
  "POST /v1/sandboxes/:sandbox/ports": {
    ...{
      id: "addForward",
      tag: "network",
      summary: "Forward a port of the host into a sandbox",
      errors: [404, 409],
    },
    ...{ example: { port: 8080, guest: 80 } },
  },
  "DELETE /v1/sandboxes/:sandbox/ports/:port": {
    ...{ id: "removeForward", tag: "network", summary: "Remove a forward", errors: [404], answer: nothing },
  },
  "POST /v1/sandboxes/:sandbox/previews": {
    ...{
      id: "sharePreview",
      tag: "network",
      summary: "Create a preview: a link for browsers to a port of a sandbox",
      errors: [404, 409],
    },
    ...{ example: { port: 8000 } },
  },
  "DELETE /v1/sandboxes/:sandbox/previews/:port": {
    ...{
      id: "endPreviews",
      tag: "network",
      summary: "Remove the previews of a port",
      errors: [404],
      answer: nothing,
    },
  },
  "GET /v1/sandboxes/:sandbox/network": {
    ...{
      id: "getNetwork",
      tag: "network",
      summary: "Get a sandbox's network policy and its connections",
      errors: [404],
    },
  },
  "PUT /v1/sandboxes/:sandbox/network": {
    ...{ id: "setNetwork", tag: "network", summary: "Change a sandbox's network policy", errors: [404, 409] },
    ...{ example: [{ allow: ["api.example.com"] }] },
  },
  "GET /v1/sandboxes/:sandbox/network/log": {
    ...{
      id: "readNetworkLog",
      tag: "network",
      summary: "Read a sandbox's network log",
      errors: [404],
      answer: { kind: "entries" },
    },
  },

  "GET /v1/captures": { id: "listCaptures", tag: "captures", summary: "List captures, newest first" },
  "GET /v1/captures/:capture": {
    id: "getCapture",
    tag: "captures",
    summary: "Describe a capture",
    errors: [404, 409],
  },
  "DELETE /v1/captures/:capture": {
    ...{
      id: "removeCapture",
      tag: "captures",
      summary: "Remove a capture",
      errors: [404, 409],
      answer: nothing,
    },
  },
  "GET /v1/captures/:capture/check": {
    ...{
      id: "checkCapture",
      tag: "captures",
      summary: "Report how this host can replay a capture",
      errors: [404, 409],
    },
  },
  "POST /v1/captures/check": {
    ...{
      id: "checkOutline",
      tag: "captures",
      summary: "Report how this host could replay a capture that is in a store",
    },
  },
  "POST /v1/captures/:capture/verify": {
    ...{
      id: "verifyCapture",
      tag: "captures",
      summary: "Check the digest of every part, and thaw the capture as a test",
    },
    ...{ errors: machine },
  },
  "POST /v1/captures/:capture/rerun": {
    ...{
      id: "rerunCapture",
      tag: "captures",
      summary: "Rerun a capture's command several times",
      errors: machine,
    },
    ...{ answer: { lines: ["rerun"] }, example: { count: 10, jobs: 2 } },
  },
  "PUT /v1/captures/:capture/pin": {
    ...{
      id: "pinCapture",
      tag: "captures",
      summary: "Pin a capture, so that retention does not remove it, or unpin it",
      errors: [404],
    },
    ...{ example: { pinned: true } },
  },
  "PUT /v1/captures/:capture/retention": {
    ...{
      id: "setCaptureRetention",
      tag: "captures",
      summary: "Set how long a capture is kept at most",
      errors: [404],
    },
    ...{ example: { maxAgeMs: 604_800_000 } },
  },
  "GET /v1/captures/:capture/core": {
    ...{
      id: "readCore",
      tag: "captures",
      summary: "Read an ELF core of a captured crash",
      errors: machine,
      answer: bytes,
    },
  },
  "GET /v1/captures/:capture/list": {
    id: "listCapturedFiles",
    tag: "captures",
    summary: "List a captured folder",
    errors: machine,
  },
  "GET /v1/captures/:capture/files": {
    ...{
      id: "readCapturedFile",
      tag: "captures",
      summary: "Read a captured file",
      errors: machine,
      answer: bytes,
    },
  },
  "GET /v1/captures/:capture/stat": {
    id: "statCapturedFile",
    tag: "captures",
    summary: "Describe a captured file",
    errors: machine,
  },
  "GET /v1/captures/:capture/tree": {
    ...{
      id: "readCapturedTree",
      tag: "captures",
      summary: "Read a captured folder as a tree stream, or as the tar archive that Accept asks for",
      errors: machine,
      answer: tree,
    },
  },

  "POST /v1/captures/:capture/whole": {
    ...{
      id: "makeCaptureWhole",
      tag: "transfers",
      summary: "Create a copy of a capture that other QEMU builds can resume",
      errors: machine,
    },
    ...{ answer: { lines: ["capture"] } },
  },
  "GET /v1/stores": {
    ...{ id: "listStores", tag: "transfers", summary: "List the stores that the host's configuration names" },
  },
  "POST /v1/captures/:capture/push": {
    ...{ id: "pushCapture", tag: "transfers", summary: "Push a capture to a store of the host" },
    ...{ errors: [403, 404, 409, 502, 503], answer: { lines: ["pushed"] } },
    example: { store: "oci:registry.example/failures" },
  },
  "POST /v1/snapshots/:snapshot/push": {
    ...{ id: "pushSnapshot", tag: "transfers", summary: "Push a snapshot to a store of the host" },
    ...{ errors: [403, 404, 409, 502, 503], answer: { lines: ["pushed"] } },
    example: { store: "oci:registry.example/snapshots" },
  },
  "POST /v1/captures/:capture/export": {
    ...{
      id: "exportCapture",
      tag: "transfers",
      summary: "Get the manifest of a capture for a transfer",
      errors: [404, 409, 507],
    },
    ...{ answer: { lines: ["artifact"] }, example: { diskOnly: true } },
  },
  "POST /v1/snapshots/:snapshot/export": {
    ...{
      id: "exportSnapshot",
      tag: "transfers",
      summary: "Get the manifest of a snapshot for a transfer",
      errors: [404, 409, 507],
    },
    ...{ answer: { lines: ["artifact"] } },
  },
  "GET /v1/captures/:capture/parts/:name": {
    ...{
      id: "readCapturePart",
      tag: "transfers",
      summary: "Read a part of a capture",
      errors: [404, 409],
      answer: bytes,
    },
  },
  "GET /v1/snapshots/:snapshot/parts/:name": {
    ...{
      id: "readSnapshotPart",
      tag: "transfers",
      summary: "Read a part of a snapshot",
      errors: [404, 409],
      answer: bytes,
    },
  },
  "POST /v1/imports": {
    id: "beginImport",
    tag: "transfers",
    summary: "Begin an import, or continue it",
    errors: [409, 507],
  },
  "PUT /v1/imports/:import/parts/:name": {
    ...{
      id: "writePart",
      tag: "transfers",
      summary: "Upload a part of an import",
      errors: [404, 409, 507],
      answer: nothing,
      upload: true,
    },
  },
  "POST /v1/imports/:import/commit": {
    ...{
      id: "commitImport",
      tag: "transfers",
      summary: "Check and publish an import",
      errors: [404, 409, 507],
    },
    ...{ answer: { lines: ["capture", "snapshot"] } },
  },
};
