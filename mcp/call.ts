/** What all tools have in common: arguments checked by a schema, errors as thaw's, cancellation, progress, answers cleaned. */
import type {
  CallToolResult,
  InputRequiredResult,
  McpServer,
  ServerContext,
  ToolAnnotations,
} from "@modelcontextprotocol/server";
import type { z } from "zod";
import { type Progress, type Thaw, ThawError } from "../client/index.ts";
import { MAX_ERROR_CHARS, MAX_ERROR_DETAILS } from "./limits.ts";
import { cleanDeep, cleanLine, cleanOutput } from "./untrusted.ts";

/** Without news of its own, a long call says this often that it goes on. */
const STILL_AT_IT_MS = 10_000;

/** One call of a tool. */
export interface Call {
  thaw: Thaw;
  /** Aborts when the client cancels the call or goes. */
  signal: AbortSignal;
  /** Tells the client how far the work is, if it asked for that. */
  tell: (message: string) => void;
  context: ServerContext;
  server: McpServer;
}

export interface Answer<T> {
  /** For the model: the same as `structured`, in words. */
  text: string;
  structured: T;
}

/** A tool, before it is bound to a server. */
export interface Tool<In extends z.ZodObject = z.ZodObject, Out extends z.ZodObject = z.ZodObject> {
  name: string;
  title: string;
  description: string;
  input: In;
  output: Out;
  annotations: ToolAnnotations;
  run: (args: z.output<In>, call: Call) => Promise<Answer<z.input<Out>> | InputRequiredResult>;
}

/** Keeps the types of a tool's arguments and answer together. */
export function tool<In extends z.ZodObject, Out extends z.ZodObject>(it: Tool<In, Out>): Tool {
  return it as unknown as Tool;
}

/** Nothing is changed by it. */
export const READS: ToolAnnotations = { readOnlyHint: true, idempotentHint: true, openWorldHint: false };
/** Something is made by it; nothing that was there is lost. */
export const MAKES: ToolAnnotations = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: false,
};

/** Calls that are being worked on. */
export class Calls {
  readonly #running = new Set<Promise<unknown>>();

  add<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const done = (): void => void this.#running.delete(work);
    work.then(done, done);
    return work;
  }

  /** Resolves when all of them have ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}

/** Gives a server a tool. */
export function addTool(server: McpServer, thaw: Thaw, calls: Calls, it: Tool): void {
  const { name, title, description, input, output, annotations } = it;
  server.registerTool(
    name,
    { title, description, inputSchema: input, outputSchema: output, annotations },
    (args: z.output<typeof input>, context: ServerContext) =>
      calls.add(answer(server, thaw, it, args, context)),
  );
}

async function answer(
  server: McpServer,
  thaw: Thaw,
  it: Tool,
  args: Record<string, unknown>,
  context: ServerContext,
): Promise<CallToolResult | InputRequiredResult> {
  const { signal } = context.mcpReq;
  using progress = new ProgressTeller(context);
  try {
    const call: Call = { thaw, signal, tell: (message) => progress.tell(message), context, server };
    const answered = await it.run(args, call);
    if (!("text" in answered)) return answered as InputRequiredResult;
    const { text, structured } = answered as Answer<Record<string, unknown>>;
    return { content: [{ type: "text", text: cleanOutput(text) }], structuredContent: cleanDeep(structured) };
  } catch (error) {
    const body = errorBodyOf(error);
    const lines = [`${body.code}: ${body.message}`, ...(body.details ?? []).map((detail) => `  ${detail}`)];
    if (body.hint !== undefined) lines.push(`hint: ${body.hint}`);
    return {
      isError: true,
      content: [{ type: "text", text: lines.join("\n") }],
      structuredContent: { error: body },
    };
  }
}

/** Anything that was thrown, as the API writes errors. Parts of it may be a guest's text. */
export function errorBodyOf(error: unknown): ReturnType<ThawError["toJSON"]> {
  const known =
    error instanceof ThawError
      ? error
      : new ThawError("internal", error instanceof Error ? error.message : String(error));
  const { code, message, hint, details } = known.toJSON();
  return {
    code,
    message: cleanLine(message, MAX_ERROR_CHARS),
    ...(hint === undefined ? {} : { hint: cleanLine(hint, MAX_ERROR_CHARS) }),
    ...(details === undefined
      ? {}
      : { details: details.slice(0, MAX_ERROR_DETAILS).map((one) => cleanLine(one)) }),
  };
}

/** Progress of one call, for a client that asked for it. */
class ProgressTeller implements Disposable {
  readonly #context: ServerContext;
  readonly #timer: NodeJS.Timeout | undefined;
  #told = 0;
  #last = "working";

  constructor(context: ServerContext) {
    this.#context = context;
    if (this.#token !== undefined) this.#timer = setInterval(() => this.tell(this.#last), STILL_AT_IT_MS);
  }

  get #token(): string | number | undefined {
    return this.#context.mcpReq._meta?.progressToken;
  }

  tell(message: string): void {
    const progressToken = this.#token;
    if (progressToken === undefined || this.#context.mcpReq.signal.aborted) return;
    this.#last = message;
    const params = { progressToken, progress: ++this.#told, message: cleanLine(message) };
    // Whether it arrives is no concern of the work.
    this.#context.mcpReq.notify({ method: "notifications/progress", params }).catch(() => {});
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Progress of the daemon's in words. Not what a template's setup prints: that is a guest's. */
export function tellProgress({ tell }: Pick<Call, "tell">): (progress: Progress) => void {
  return ({ subject, phase, state }) => {
    if (state !== "output") tell(`${subject}: ${phase}${state === "done" ? ", done" : ""}`);
  };
}
