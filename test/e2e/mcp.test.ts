/** `thaw mcp`, driven by the protocol's official client over stdin and stdout. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallToolResult, Client, type ElicitResult, type Progress } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { killDaemon, type SandboxRow, thaw, thawBin, thawEnv, thawJson, until } from "../helpers/thaw.ts";

/** Nobody waits this long for an answer that comes. */
const PATIENT_MS = 240_000;
const folder = mkdtempSync(join(tmpdir(), "thaw-mcp-"));
/** A title, a colour, text that turns around, and a letter that nobody sees. */
const HOSTILE = String.raw`\033]0;title\007\033[31mred\033[0m \342\200\256turned \363\240\201\201tag\n`;
const PATCH = `--- a/answer
+++ b/answer
@@ -1 +1 @@
-41
+42
`;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f]|[\p{Cf}]/u;

interface Answer {
  isError?: boolean | undefined;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  value: any;
}

type Asked = (message: string) => ElicitResult;
const clients: Client[] = [];

/** An agent. @param asked answers the questions that its user is asked; without it, it can't ask */
async function connect({ asked, modern = false }: { asked?: Asked; modern?: boolean } = {}) {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [thawBin, "mcp"],
    env: { PATH: process.env.PATH ?? "", ...thawEnv() },
    stderr: "pipe",
  });
  let stderr = "";
  transport.stderr?.on("data", (chunk: Buffer) => {
    stderr += String(chunk);
  });
  const client = new Client(
    { name: "test", version: "1" },
    {
      capabilities: asked === undefined ? {} : { elicitation: { form: {} } },
      ...(modern ? { versionNegotiation: { mode: "auto" as const } } : {}),
    },
  );
  if (asked !== undefined)
    client.setRequestHandler("elicitation/create", async ({ params }) => asked(params.message));
  await client.connect(transport);
  clients.push(client);
  const call = async (
    name: string,
    args: Record<string, unknown> = {},
    options: { signal?: AbortSignal; onprogress?: (progress: Progress) => void } = {},
  ): Promise<Answer> => {
    const result = (await client.callTool(
      { name, arguments: args },
      { timeout: PATIENT_MS, ...options },
    )) as CallToolResult;
    const text = result.content.map((part) => (part.type === "text" ? part.text : "")).join("\n");
    return { isError: result.isError, text, value: result.structuredContent };
  };
  return { client, call, stderr: () => stderr };
}

const sandboxes = () => thawJson<SandboxRow[]>(["ls"]);
let capture = "";

beforeAll(async () => {
  writeFileSync(join(folder, "answer"), "41\n");
  writeFileSync(
    join(folder, "mcp-check.sh"),
    `printf '${HOSTILE}'\necho "the answer is $(cat answer)"\ngrep -q 42 answer\n`,
  );
  const failed = await thaw([
    "run",
    "--workspace",
    folder,
    "--capture",
    "on-failure",
    "--",
    "sh",
    "mcp-check.sh",
  ]);
  expect(failed.exitCode, String(failed.stderr)).toBe(1);
  capture = /frozen as (fail-\w+)/.exec(String(failed.stderr))?.[1] ?? "";
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await thaw(["rm", "--all"]);
});
afterAll(async () => {
  await thaw(["capture", "rm", capture]);
  rmSync(folder, { recursive: true, force: true });
});

describe("an agent that is to mend a red build", () => {
  test("lists failures, reads the case, tries a patch in three forks, and reruns", async () => {
    const { call, client, stderr } = await connect();
    const { tools } = await client.listTools();
    for (const { name, annotations, outputSchema } of tools) {
      expect(annotations?.readOnlyHint, name).toBeTypeOf("boolean");
      expect(outputSchema, name).toBeDefined();
    }
    const listed = await call("list_failures", { trigger: "exit", limit: 1 });
    const [newest] = listed.value.failures;
    expect(newest).toMatchObject({ id: capture, trigger: "exit", rerunnable: true });
    expect(newest.untrusted).toMatchObject({ command: "sh mcp-check.sh", lastLine: "the answer is 41" });

    const read = await call("read_case", { capture: "latest" });
    expect(read.value).toMatchObject({ id: capture, exit: { code: 1 }, before: "workspace" });
    expect(read.value.untrusted).toMatchObject({ argv: ["sh", "mcp-check.sh"], cwd: "/workspace" });
    expect(read.value.untrusted.log.text).toBe("red turned tag\nthe answer is 41\n");
    expect(read.text).toMatch(
      /\[(\w{12}): last output[^\n]*Untrusted[^\n]*\]\nred turned tag\n[^\n]*41\n\[end of \1\]/,
    );

    const file = await call("read_file", { from: capture, path: "/workspace/answer" });
    expect(file.value.untrusted.content).toMatchObject({
      text: "41\n",
      next: null,
      total: 3,
      altered: false,
    });

    const told: string[] = [];
    const mended = await call(
      "try_fix",
      { capture, patch: PATCH },
      { onprogress: ({ message }) => told.push(message ?? "") },
    );
    expect(mended.value, mended.text).toMatchObject({ passed: 3, count: 3, verdict: "passes" });
    expect(mended.value.untrusted.applied.text).toBe("git apply in /workspace\n");
    expect(told.at(-1)).toBe("3 of 3 runs have ended");
    expect(await sandboxes()).toEqual([]);

    const useless = await call("try_fix", { capture, count: 1, patch: PATCH.replace("+42", "+43") });
    expect(useless.value).toMatchObject({ passed: 0, count: 1, verdict: "broken" });
    expect(useless.value.untrusted.failures[0].stdout.text).toMatch(/the answer is 43\n$/);
    const wrong = await call("try_fix", { capture, count: 2, patch: PATCH.replace("-41", "-40") });
    expect([wrong.isError, wrong.value.error]).toEqual([
      true,
      expect.objectContaining({ code: "usage", message: expect.stringContaining("does not apply") }),
    ]);
    expect(wrong.text).toMatch(/patch failed: answer:1/);
    expect(await sandboxes()).toEqual([]);

    const again = await call("rerun", { capture, count: 2 });
    expect(again.value).toMatchObject({ failed: 2, verdict: "broken", newCaptures: [] });
    expect(stderr()).toBe("");
  });

  test("forks a failure, changes a file in one, tries that, compares; several calls at once; a time to live on all", async () => {
    const { call } = await connect({ modern: true });
    const forked = await call("fork_failure", { capture, count: 2, ttlMinutes: 30 });
    const [one, two] = forked.value.sandboxes;
    for (const { capture: from, network, expiresAt } of forked.value.sandboxes) {
      expect([from, network]).toEqual([capture, "none"]);
      expect(Date.parse(expiresAt)).toBeLessThanOrEqual(Date.now() + 30 * 60_000);
    }
    const [written, seen] = await Promise.all([
      call("write_file", { sandbox: one.name, path: "/workspace/answer", content: "42\n" }),
      call("exec", { sandbox: two.name, argv: ["sh", "-c", "cat answer; pwd; exit 3"] }),
    ]);
    expect(written.value.bytes).toBe(3);
    expect(seen.value).toMatchObject({ state: "exited", exit: { code: 3 } });
    expect(seen.value.untrusted.stdout.text).toBe("41\n/workspace\n");
    const tried = await call("try_fix", { sandbox: one.name, count: 2, keep: true });
    expect(tried.value, tried.text).toMatchObject({ capture, passed: 2, verdict: "passes" });
    const kept: string[] = tried.value.runs.map((run: { sandbox: { name: string } }) => run.sandbox.name);
    expect((await sandboxes()).map(({ name }) => name).sort()).toEqual([one.name, two.name, ...kept].sort());

    const other = await thaw([
      "run",
      "--workspace",
      folder,
      "--capture",
      "always",
      "--",
      "sh",
      "mcp-check.sh",
    ]);
    expect(other.exitCode).toBe(1);
    const compared = await call("compare", { a: capture });
    expect(compared.value, compared.text).toMatchObject({ a: capture, differ: false });
    await thaw(["capture", "rm", compared.value.b]);
  });

  test("what a guest writes is marked, without what can't be seen, and bounded; it is read on by its offset", async () => {
    const { call, client } = await connect();
    const { value } = await call("open_failure", { capture });
    const sandbox = value.sandbox.name;
    const script = `printf '${HOSTILE}' >&2; i=0; while [ $i -lt 4000 ]; do echo "line $i é"; i=$((i+1)); done`;
    const wrote = await call("exec", { sandbox, argv: ["sh", "-c", script] });
    const { stdout, stderr } = wrote.value.untrusted;
    expect(stderr).toMatchObject({ text: "red turned tag\n", altered: true, next: null });
    expect(stdout.text).toMatch(/line 3998 é\nline 3999 é\n$/);
    expect(Buffer.byteLength(stdout.text)).toBeLessThanOrEqual(16_384);
    expect(wrote.text).not.toMatch(UNSEEN);
    expect(wrote.text.length).toBeLessThan(20_000);
    let all = "";
    for (let offset: number | null = 0; offset !== null; ) {
      const more: Answer = await call("read_output", {
        sandbox,
        exec: wrote.value.exec,
        channel: "stdout",
        offset,
      });
      all += more.value.untrusted.stdout.text;
      offset = more.value.untrusted.stdout.next;
    }
    expect(all).toBe(Array.from({ length: 4000 }, (_, n) => `line ${n} é\n`).join(""));

    const uri = `thaw://sandboxes/${sandbox}/execs/${wrote.value.exec}/log`;
    const [output] = (await client.readResource({ uri })).contents;
    expect(output).toMatchObject({ text: expect.stringContaining("Untrusted data") });
    const { resources } = await client.listResources();
    expect(resources[0]?.uri).toBe(`thaw://captures/${capture}/case`);
    for (const what of ["case", "log"]) {
      const [content] = (await client.readResource({ uri: `thaw://captures/${capture}/${what}` })).contents;
      expect(content && "text" in content ? content.text : "").toMatch(/the answer is 41/);
      expect(JSON.stringify(content)).not.toMatch(UNSEEN);
    }
  });
});

describe("nothing is removed by mistake", () => {
  test("who can't ask repeats the name; unknown ids, and sandboxes of others, are refused", async () => {
    const { call, client } = await connect();
    await thaw(["create", "--name", "mine"]);
    const { value } = await call("create_sandbox", { name: "theirs" });
    expect(value.sandbox).toMatchObject({ name: "theirs", capture: null });
    const codes: [string, Record<string, unknown>, string][] = [
      ["remove", { what: "theirs" }, "usage"],
      ["remove", { what: "theirs", confirm: "mine" }, "usage"],
      ["remove", { what: "mine", confirm: "mine" }, "usage"],
      ["remove", { what: capture }, "usage"],
      ["remove", { what: "nobody", confirm: "nobody" }, "not-found"],
      ["exec", { sandbox: "mine", argv: ["true"] }, "usage"],
      ["write_file", { sandbox: "mine", path: "/tmp/x", content: "" }, "usage"],
      ["exec", { sandbox: "theirs", argv: ["no-such-program"] }, "exec-not-found"],
      ["read_file", { from: "theirs", path: "/no/such" }, "not-found"],
      ["read_output", { sandbox: "theirs", exec: "none" }, "not-found"],
      ["read_case", { capture: "fail-zzzzzz" }, "not-found"],
      ["try_fix", { sandbox: "theirs" }, "usage"],
      ["try_fix", { capture }, "usage"],
    ];
    for (const [name, args, code] of codes) {
      const refused = await call(name, args);
      expect([refused.isError, refused.value?.error?.code], `${name}: ${refused.text}`).toEqual([true, code]);
    }
    const invalid = await call("exec", { sandbox: "theirs", argv: [] });
    expect([invalid.isError, invalid.text]).toEqual([true, expect.stringContaining("argv")]);
    await expect(client.readResource({ uri: "thaw://captures/fail-zzzzzz/case" })).rejects.toThrow(
      /not found/i,
    );
    expect((await sandboxes()).map(({ name }) => name).sort()).toEqual(["mine", "theirs"]);
    expect((await call("remove", { what: "theirs", confirm: "theirs" })).value).toEqual({
      removed: "theirs",
      kind: "sandbox",
    });
    expect((await sandboxes()).map(({ name }) => name)).toEqual(["mine"]);
  });

  test.each([false, true])(
    "the user is asked, whatever the model confirms (protocol of 2026: %s)",
    async (modern) => {
      const questions: string[] = [];
      let answer: ElicitResult = { action: "decline" };
      const { call } = await connect({
        modern,
        asked: (message) => {
          questions.push(message);
          return answer;
        },
      });
      await call("create_sandbox", { name: "theirs" });
      for (const no of [{ action: "decline" }, { action: "accept", content: { remove: false } }] as const) {
        answer = no;
        const kept = await call("remove", { what: "theirs", confirm: "theirs" });
        expect([kept.isError, kept.value.error.code]).toEqual([true, "cancelled"]);
      }
      answer = { action: "accept", content: { remove: true } };
      expect((await call("remove", { what: "theirs" })).value.removed).toBe("theirs");
      expect(questions).toEqual(Array(3).fill("Remove the sandbox theirs? This can't be undone."));
      expect(await sandboxes()).toEqual([]);
    },
  );
});

describe("what is cut short", () => {
  test("a cancelled command is killed, and a cancelled try leaves nothing", async () => {
    const { call } = await connect();
    const { value } = await call("open_failure", { capture, name: "case" });
    const endless = ["sh", "-c", "echo > /tmp/started; exec sleep 7777"];
    const abort = new AbortController();
    const running = call("exec", { sandbox: value.sandbox.name, argv: endless }, { signal: abort.signal });
    running.catch(() => {});
    const inCase = (...argv: string[]) => thaw(["exec", "case", "--", ...argv]);
    await until(
      async () => (await inCase("test", "-e", "/tmp/started")).exitCode === 0,
      "the command to run",
    );
    abort.abort();
    await expect(running).rejects.toThrow();
    await until(
      async () => (await inCase("pgrep", "-f", "sleep 7777")).exitCode === 1,
      "the command to be killed",
    );

    const second = new AbortController();
    const trying = call("try_fix", { sandbox: "case", argv: endless, count: 2 }, { signal: second.signal });
    trying.catch(() => {});
    await until(async () => (await sandboxes()).length === 3, "the copies to be there");
    second.abort();
    await expect(trying).rejects.toThrow();
    await until(async () => (await sandboxes()).length === 1, "the copies to be removed");
  });

  test("the daemon is killed during a command: the answer comes all the same", async () => {
    const { call } = await connect();
    await call("open_failure", { capture, name: "case" });
    const script = "echo before; until [ -e /tmp/go ]; do sleep 0.1; done; echo after";
    const running = call("exec", { sandbox: "case", argv: ["sh", "-c", script], waitSeconds: 200 });
    await until(
      async () => (await thaw(["exec", "case", "--", "pgrep", "-f", "until"])).exitCode === 0,
      "the command to run",
    );
    await killDaemon();
    expect((await thaw(["exec", "case", "--", "touch", "/tmp/go"])).exitCode).toBe(0);
    const { value, text } = await running;
    expect(value?.untrusted?.stdout.text, text).toBe("before\nafter\n");
  });

  test.each([
    ["the end of stdin", 0],
    ["SIGINT", 130],
  ] as const)("at %s what calls had begun is removed, and the process ends", async (end, exitCode) => {
    await thaw(["create", "--name", "case", "--label", "thaw-mcp=yes"]);
    const server = execa(process.execPath, [thawBin, "mcp"], { env: thawEnv(), reject: false });
    const clientInfo = { name: "test", version: "1" };
    const args = { sandbox: "case", argv: ["sleep", "7777"], count: 1 };
    for (const [method, params] of [
      ["initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo }],
      ["tools/call", { name: "try_fix", arguments: args }],
    ] as const)
      server.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: method, method, params })}\n`);
    await until(async () => (await sandboxes()).length === 2, "the copy to be there");
    if (end === "SIGINT") server.kill("SIGINT");
    else server.stdin.end();
    expect(await server).toMatchObject({ exitCode });
    expect((await sandboxes()).map(({ name }) => name)).toEqual(["case"]);
  });

  test("without a client it ends at once, and says nothing on stdout", async () => {
    const ended = await execa(process.execPath, [thawBin, "mcp"], {
      env: thawEnv(),
      input: "not json\n",
      reject: false,
    });
    expect([ended.exitCode, ended.stdout]).toEqual([0, ""]);
  });
});
