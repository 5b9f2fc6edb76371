/** What each route of the API does, for the OpenAPI document: a name, a group, a sentence, its answer, and the errors that it has beyond a bad request. */
import type { z } from "zod";
import { artifact, capture, rerun, type StreamLine, sandbox, snapshot } from "../../api/schema.ts";

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
  /** Statuses of its errors beside 400, 426 and 500. */
  errors?: readonly number[];
  /** Where the route's own schema does not say what it answers. */
  answer?:
    | { lines: readonly ResultField[] }
    | { kind: "bytes" | "tree" | "events" | "entries" | "stats" | "nothing" }
    | { kind: "leaving" };
  /** Its body is bytes, of this type too. */
  upload?: boolean | "application/x-tar";
  /** Of its body. */
  example?: unknown;
}

/** What the fields of a result are. */
export const RESULT_FIELDS: Partial<Record<ResultField, z.ZodType>> = {
  artifact,
  capture,
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
  "GET /v1/doctor": { id: "getDoctor", tag: "host", summary: "Say what the host has and lacks" },
  "GET /v1/openapi.json": { id: "getOpenApi", tag: "host", summary: "Get this document" },
  "POST /v1/shutdown": {
    id: "shutDown",
    tag: "host",
    summary: "End the daemon; machines go on",
    answer: { kind: "leaving" },
  },
  "POST /v1/prune": {
    ...{
      id: "prune",
      tag: "host",
      summary: "Remove captures and caches over budget and snapshots that nothing needs",
    },
    ...{ errors: [409, 503], example: { dryRun: true } },
  },
  "GET /v1/quarantine": { id: "listQuarantine", tag: "host", summary: "List state that could not be read" },
  "POST /v1/quarantine/:entry/restore": {
    ...{
      id: "restoreQuarantined",
      tag: "host",
      summary: "Put an entry back and read it again",
      errors: [404, 409],
    },
  },
  "DELETE /v1/quarantine/:entry": {
    ...{
      id: "removeQuarantined",
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
      summary: "Call a request off and undo what it made",
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
    summary: "List the templates that are shipped",
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
  "GET /v1/snapshots": { id: "listSnapshots", tag: "snapshots", summary: "List snapshots" },
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
      summary: "Name a snapshot",
      errors: [404, 409],
      example: { tag: "node:lts" },
    },
  },
  "POST /v1/snapshots/:snapshot/verify": {
    ...{
      id: "verifySnapshot",
      tag: "snapshots",
      summary: "Compare every part with its digest",
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
      summary: "Rename a sandbox, set or remove labels",
      errors: [404, 409],
    },
    ...{ example: { labels: { reviewed: "yes", draft: null } } },
  },
  "DELETE /v1/sandboxes/:sandbox": {
    ...{
      id: "removeSandbox",
      tag: "sandboxes",
      summary: "End and remove a sandbox",
      errors: [404, 504],
      answer: nothing,
    },
  },
  "POST /v1/sandboxes/:sandbox/cache": {
    id: "saveCache",
    tag: "sandboxes",
    summary: "Keep a sandbox's cached folders for runs to come",
    errors: machine,
  },
  "GET /v1/caches": { id: "listCaches", tag: "host", summary: "List cached folders of runs" },
  "DELETE /v1/caches/:cache": {
    id: "removeCache",
    tag: "host",
    summary: "Remove cached folders of a run",
    errors: [404],
    answer: nothing,
  },
  "POST /v1/sandboxes/:sandbox/pause": {
    id: "pauseSandbox",
    tag: "sandboxes",
    summary: "Stop a sandbox's clock",
    errors: machine,
  },
  "POST /v1/sandboxes/:sandbox/resume": {
    ...{
      id: "resumeSandbox",
      tag: "sandboxes",
      summary: "Let a paused or frozen sandbox go on",
      errors: machine,
    },
  },
  "POST /v1/sandboxes/:sandbox/stop": {
    id: "stopSandbox",
    tag: "sandboxes",
    summary: "Keep a sandbox on disk and end its machine, until it is resumed",
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
      summary: "Make a snapshot of a sandbox that goes on",
      errors: machine,
    },
    ...{ answer: { lines: ["snapshot", "pauseMs", "converged"] }, example: { tag: "web:ready" } },
  },
  "POST /v1/sandboxes/:sandbox/fork": {
    ...{
      id: "forkSandbox",
      tag: "sandboxes",
      summary: "Make children of a sandbox as it is now",
      errors: machine,
    },
    ...{ answer: { lines: ["sandboxes", "pauseMs", "method"] }, example: { count: 2, name: "copy" } },
  },
  "GET /v1/stats": {
    ...{ id: "followStats", tag: "sandboxes", summary: "Measure what all sandboxes use of the host" },
    ...{ errors: [503], answer: { kind: "stats" } },
  },
  "GET /v1/sandboxes/:sandbox/stats": {
    ...{
      id: "getStats",
      tag: "sandboxes",
      summary: "Measure what a sandbox uses of the host",
      errors: machine,
    },
  },
  "GET /v1/sandboxes/:sandbox/processes": {
    ...{
      id: "listProcesses",
      tag: "sandboxes",
      summary: "List the processes of a sandbox, and what listens in it",
      errors: [404],
    },
  },
  "POST /v1/sandboxes/:sandbox/captures": {
    ...{ id: "captureSandbox", tag: "sandboxes", summary: "Capture a sandbox that goes on", errors: machine },
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
    summary: "List forwards, and what listens inside",
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
    ...{ id: "removeForward", tag: "network", summary: "End a forward", errors: [404], answer: nothing },
  },
  "POST /v1/sandboxes/:sandbox/previews": {
    ...{
      id: "sharePreview",
      tag: "network",
      summary: "Make a link to a port of a sandbox, for browsers",
      errors: [404, 409],
    },
    ...{ example: { port: 8000 } },
  },
  "DELETE /v1/sandboxes/:sandbox/previews/:port": {
    ...{
      id: "endPreviews",
      tag: "network",
      summary: "End the previews of a port",
      errors: [404],
      answer: nothing,
    },
  },
  "GET /v1/sandboxes/:sandbox/network": {
    ...{
      id: "getNetwork",
      tag: "network",
      summary: "Say what a sandbox may reach, and what it reached",
      errors: [404],
    },
  },
  "PUT /v1/sandboxes/:sandbox/network": {
    ...{ id: "setNetwork", tag: "network", summary: "Change what a sandbox may reach", errors: [404, 409] },
    ...{ example: [{ allow: ["api.example.com"] }] },
  },
  "GET /v1/sandboxes/:sandbox/network/log": {
    ...{
      id: "readNetworkLog",
      tag: "network",
      summary: "Read a sandbox's connections",
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
      summary: "Say how a capture can be replayed here",
      errors: [404, 409],
    },
  },
  "POST /v1/captures/check": {
    ...{
      id: "checkOutline",
      tag: "captures",
      summary: "Say how a capture in a store could be replayed here",
    },
  },
  "POST /v1/captures/:capture/verify": {
    ...{
      id: "verifyCapture",
      tag: "captures",
      summary: "Compare every part with its digest and thaw it on trial",
    },
    ...{ errors: machine },
  },
  "POST /v1/captures/:capture/rerun": {
    ...{
      id: "rerunCapture",
      tag: "captures",
      summary: "Run a capture's command again and again",
      errors: machine,
    },
    ...{ answer: { lines: ["rerun"] }, example: { count: 10, jobs: 2 } },
  },
  "PUT /v1/captures/:capture/pin": {
    ...{
      id: "pinCapture",
      tag: "captures",
      summary: "Keep a capture whatever the retention says",
      errors: [404],
    },
    ...{ example: { pinned: true } },
  },
  "PUT /v1/captures/:capture/retention": {
    ...{
      id: "setCaptureRetention",
      tag: "captures",
      summary: "Say for how long a capture is kept at most",
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
      summary: "Make a capture that other QEMU builds resume",
      errors: machine,
    },
    ...{ answer: { lines: ["capture"] } },
  },
  "POST /v1/captures/:capture/export": {
    ...{
      id: "exportCapture",
      tag: "transfers",
      summary: "Describe a capture as it travels",
      errors: [404, 409, 507],
    },
    ...{ answer: { lines: ["artifact"] }, example: { diskOnly: true } },
  },
  "POST /v1/snapshots/:snapshot/export": {
    ...{
      id: "exportSnapshot",
      tag: "transfers",
      summary: "Describe a snapshot as it travels",
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
    summary: "Begin an import, or go on with it",
    errors: [409, 507],
  },
  "PUT /v1/imports/:import/parts/:name": {
    ...{
      id: "writePart",
      tag: "transfers",
      summary: "Send a part",
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
