/** Commands and files in sandboxes. */
import { z } from "zod";
import { defined } from "../../api/defined.ts";
import { CAPTURE_ID_PATTERN } from "../../api/patterns.ts";
import { argument, envName, reference } from "../../api/schema.ts";
import { ThawError } from "../../client/index.ts";
import { type Answer, type Call, MAKES, READS, tool } from "../call.ts";
import { execAnswer, exitOf, type Ran, readEnds, readOutput, runCommand } from "../commands.ts";
import {
  MAX_FILE_OFFSET,
  MAX_OFFSET,
  MAX_PAGE_BYTES,
  MAX_WRITE_BYTES,
  PAGE_BYTES,
  TIMEOUT_SECONDS,
  WAIT_SECONDS,
} from "../limits.ts";
import { findSandbox, sandboxReference } from "../sandboxes.ts";
import { cleanLine, page, pageOf, showPage } from "../untrusted.ts";

export const argvArgument = z
  .array(argument)
  .min(1)
  .max(1000)
  .describe('The command and its arguments; for a shell line: ["sh", "-c", "…"]');
export const timeoutSeconds = z
  .int()
  .min(1)
  .max(TIMEOUT_SECONDS.most)
  .default(TIMEOUT_SECONDS.default)
  .describe("The command is killed after this long");
const envArgument = z.record(envName, argument);
export const guestPath = z.string().min(1).max(4096).regex(/^\//, "an absolute path");
const offsetArgument = z.int().min(0).max(MAX_OFFSET);

export const exec = tool({
  name: "exec",
  title: "Run a command in a sandbox",
  description:
    "Runs a command in a sandbox. Answers when it has ended, or after waitSeconds while it goes on; read_output reads on. In a sandbox of a failure, folder, user and environment are those of the failed command.",
  input: z.object({
    sandbox: sandboxReference,
    argv: argvArgument,
    cwd: guestPath.optional(),
    env: envArgument.optional(),
    user: z.string().max(128).optional().describe("NAME, UID, NAME:GROUP or UID:GID"),
    timeoutSeconds,
    waitSeconds: z.int().min(1).max(WAIT_SECONDS.most).default(WAIT_SECONDS.default),
  }),
  output: execAnswer,
  annotations: { ...MAKES, destructiveHint: true, openWorldHint: true },
  run: async ({ sandbox, argv, timeoutSeconds, waitSeconds, ...more }, call) => {
    const found = await findSandbox(call, sandbox);
    call.tell(`${found.name}: running`);
    const command = { argv, ...defined(more), timeoutMs: timeoutSeconds * 1000 };
    return execAnswerOf(
      await runCommand(found, command, { signal: call.signal, waitMs: waitSeconds * 1000 }),
    );
  },
});

function execAnswerOf({ info, stdout, stderr }: Ran): Answer<z.input<typeof execAnswer>> {
  const { sandbox, id, state, error } = info;
  const exit = exitOf(info.exit);
  const ended =
    exit === null
      ? `${id}: ${state}; read_output tells how it goes on`
      : `${id}: ${exit.timedOut ? "ran out of time" : exit.signal === null ? `exit code ${exit.code}` : `ended by signal ${exit.signal}`} after ${(exit.durationMs / 1000).toFixed(1)} s`;
  const message = error === null ? null : cleanLine(error.message, 500);
  return {
    text: [
      ended,
      ...(message === null ? [] : [message]),
      showPage("stdout", stdout),
      showPage("stderr", stderr),
    ].join("\n"),
    structured: { sandbox, exec: id, state, exit, untrusted: { stdout, stderr, error: message } },
  };
}

export const readOutputTool = tool({
  name: "read_output",
  title: "Read the output of a command",
  description:
    "Tells how a command of exec stands, and reads its output: the end of both channels, or with channel and offset from there on. Output is kept as long as the sandbox.",
  input: z.object({
    sandbox: sandboxReference,
    exec: z.string().min(1).max(64),
    channel: z.enum(["stdout", "stderr"]).default("stdout"),
    offset: offsetArgument
      .optional()
      .describe("Bytes of the channel to skip. Default: the end of both channels"),
    waitSeconds: z
      .int()
      .min(0)
      .max(WAIT_SECONDS.most)
      .default(0)
      .describe("Wait this long for the command's end first"),
  }),
  output: execAnswer,
  annotations: READS,
  run: async ({ sandbox, exec: id, channel, offset, waitSeconds }, call) => {
    const { signal } = call;
    const found = await findSandbox(call, sandbox);
    const of = found.execAt(id);
    let info = await of.get({ signal });
    if (info.exit === null && waitSeconds > 0) {
      await of.wait({ timeoutMs: waitSeconds * 1000, signal }).catch((error: unknown) => {
        if (!(error instanceof ThawError && error.code === "timeout")) throw error;
      });
      info = await of.get({ signal });
    }
    if (offset === undefined) return execAnswerOf({ info, ...(await readEnds(of, signal)) });
    const part = await readOutput(of, { channel, offset, signal });
    const none = pageOf(new Uint8Array(), { offset: 0, total: null });
    const other = { ...none, next: null };
    return execAnswerOf({
      info,
      stdout: channel === "stdout" ? part : other,
      stderr: channel === "stderr" ? part : other,
    });
  },
});

const encoding = z.enum(["utf-8", "base64"]).default("utf-8");

export const readFile = tool({
  name: "read_file",
  title: "Read a file",
  description:
    "Reads a file of a sandbox, or of a failure without opening it (give its id). Reads a part; next tells where to read on. Use base64 for exact bytes: in utf-8, characters that can't be seen are taken out, and altered says so.",
  input: z.object({
    from: reference.describe("A sandbox that these tools made, or the id of a failure, or latest"),
    path: guestPath,
    offset: z.int().min(0).max(MAX_FILE_OFFSET).default(0).describe("Bytes to skip"),
    length: z.int().min(1).max(MAX_PAGE_BYTES).default(PAGE_BYTES).describe("Bytes to read at most"),
    encoding,
  }),
  output: z.object({
    from: z.string(),
    path: z.string(),
    untrusted: z.object({
      content: page,
      base64: z.string().nullable().describe("The exact bytes, where base64 was asked for"),
    }),
  }),
  annotations: READS,
  run: async ({ from, path, offset, length, encoding }, call) => {
    const { name, bytes } = await openFile(call, from, path);
    const { part, total } = await readPart(bytes, { offset, length });
    const asText = pageOf(part, { offset, total });
    if (encoding === "utf-8")
      return {
        text: `${showPage(`${name}:${cleanLine(path)}`, asText)}${asText.altered ? "\naltered: characters that can't be seen are left out" : ""}`,
        structured: { from: name, path, untrusted: { content: asText, base64: null } },
      };
    const end = offset + part.length;
    const next = total !== null && end >= total ? null : end;
    const base64 = Buffer.from(part).toString("base64");
    const content = { text: "", offset, next, total, altered: false };
    return {
      text: showPage(`${name}:${cleanLine(path)} in base64`, { ...content, text: base64 }),
      structured: { from: name, path, untrusted: { content, base64 } },
    };
  },
});

async function openFile(
  call: Call,
  from: string,
  path: string,
): Promise<{ name: string; bytes: AsyncIterable<Uint8Array> }> {
  const { thaw, signal } = call;
  if (from !== "latest" && !CAPTURE_ID_PATTERN.test(from)) {
    const found = await findSandbox(call, from);
    return { name: found.name, bytes: found.files.read(path, { signal }) };
  }
  const { id } = await thaw.captures.get(from, { signal });
  return { name: id, bytes: thaw.captures.readFile(id, path, { signal }) };
}

/** @returns the part, and how many bytes there are in all if its end was seen */
async function readPart(
  bytes: AsyncIterable<Uint8Array>,
  { offset, length }: { offset: number; length: number },
): Promise<{ part: Uint8Array; total: number | null }> {
  const parts: Uint8Array[] = [];
  let at = 0;
  for await (const chunk of bytes) {
    const wanted = chunk.subarray(Math.max(0, offset - at), Math.max(0, offset + length - at));
    if (wanted.length > 0) parts.push(wanted);
    at += chunk.length;
    if (at > offset + length) return { part: Buffer.concat(parts), total: null };
  }
  return { part: Buffer.concat(parts), total: at };
}

export const writeFile = tool({
  name: "write_file",
  title: "Write a file in a sandbox",
  description:
    "Writes a file in a sandbox; one that is there is replaced. Folders are not made: exec mkdir -p.",
  input: z.object({
    sandbox: sandboxReference,
    path: guestPath,
    content: z.string().max(Math.ceil(MAX_WRITE_BYTES / 3) * 4),
    encoding,
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/, "an octal mode such as 644")
      .optional(),
    user: z.string().max(128).optional().describe("Its owner: NAME, UID, NAME:GROUP or UID:GID"),
  }),
  output: z.object({ sandbox: z.string(), path: z.string(), bytes: z.int() }),
  annotations: { ...MAKES, destructiveHint: true, idempotentHint: true },
  run: async ({ sandbox, path, content, encoding, mode, user }, call) => {
    const bytes = decode(content, encoding);
    const found = await findSandbox(call, sandbox);
    const bits = mode === undefined ? undefined : Number.parseInt(mode, 8);
    await found.files.write(path, bytes, { ...defined({ mode: bits, user }), signal: call.signal });
    return {
      text: `${found.name}:${cleanLine(path)}: ${bytes.length} bytes written`,
      structured: { sandbox: found.name, path, bytes: bytes.length },
    };
  },
});

/** @throws ThawError `usage` for what is not base64, or too long */
function decode(content: string, encoding: "utf-8" | "base64"): Buffer {
  if (encoding === "base64" && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(content))
    throw new ThawError("usage", "content is not base64");
  const bytes = Buffer.from(content, encoding);
  if (bytes.length > MAX_WRITE_BYTES)
    throw new ThawError(
      "usage",
      `content has ${bytes.length} bytes; at most ${MAX_WRITE_BYTES} are written in one call`,
    );
  return bytes;
}
