/** Does one step of the plan as a client would, and notes what the client was told. */
import { createHash, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Sandbox, type Thaw, ThawError } from "../../../client/index.ts";
import type { SuiteHome } from "../suite-home.ts";
import type { Step, Verb } from "./plan.ts";
import { Broken, type Content, copyContent, newContent, type Told, type ToldSandbox } from "./told.ts";

const HOUR_MS = 3_600_000;
/** Longer than all clocks jump. */
const TTL_MS = 2000 * HOUR_MS;

export interface World {
  home: SuiteHome;
  told: Told;
  signal: AbortSignal;
  scratch: string;
}

/** A command of the command line that failed. */
export class CliFailed extends Error {}
/** What a step works on is not there, because the step that makes it failed. */
export class NothingThere extends Error {}

interface Acting extends World {
  client: Thaw;
  step: Step;
}

export async function act(world: World, client: Thaw, step: Step): Promise<void> {
  await ACTS[step.verb]({ ...world, client, step });
}

const ACTS: Record<Verb, (acting: Acting) => Promise<unknown>> = {
  async create(acting) {
    const { client, step, signal } = acting;
    if (step.by === "cli") {
      await cli(acting, "create", "--name", step.key, "--ttl", "2000h");
      const { id } = await client.sandboxes.get(step.key, { signal });
      return made(acting, step.key, id, newContent(null));
    }
    const { id } = await client.sandboxes.create({ name: step.key, ttlMs: TTL_MS }, { signal });
    return made(acting, step.key, id, newContent(null));
  },

  async run(acting) {
    const script = `echo ${acting.step.key}; echo err >&2; exit 7`;
    if (acting.step.by === "cli") {
      const { exitCode, stdout, stderr } = await acting.home.thaw(["run", "--", "sh", "-c", script], acting);
      if (exitCode !== 7 || stdout !== `${acting.step.key}\n`) throw new CliFailed(`${exitCode}: ${stderr}`);
      return;
    }
    const { stdout, exit } = await runOnce(acting, { argv: ["sh", "-c", script] });
    expectEqual(acting, [exit?.code, stdout], [7, `${acting.step.key}\n`]);
  },

  async fail(acting) {
    const { told, step } = acting;
    const script = `echo ${step.key} > /root/mark; exit 3`;
    const { exit, captured } = await runOnce(acting, { argv: ["sh", "-c", script], capture: "on-failure" });
    expectEqual(acting, exit?.code, 3);
    if (captured === null || "error" in captured) throw new CliFailed(`no capture: ${captured?.error}`);
    told.captures.set(step.key, {
      ...{ ref: captured.id, id: captured.id },
      content: newContent(step.key),
      hasCommand: true,
    });
  },

  async exec(acting) {
    const { client, step, signal } = acting;
    const sandbox = sandboxOf(acting);
    const script = `echo ${step.key} >> /root/log; echo out; exit 4`;
    sandbox.content.lines.set(step.key, "maybe");
    if (step.by === "cli") {
      const argv = ["exec", sandbox.id, "--", "sh", "-c", script];
      const { exitCode, stdout, stderr } = await acting.home.thaw(argv, acting);
      if (exitCode !== 4 || stdout !== "out\n") throw new CliFailed(`${exitCode}: ${stderr}`);
    } else {
      const { exitCode, stdout } = await client.sandboxes
        .at(sandbox.id)
        .exec(["sh", "-c", script], { signal });
      expectEqual(acting, [exitCode, stdout], [4, "out\n"]);
    }
    sandbox.content.lines.set(step.key, "told");
  },

  async follow(acting) {
    const { client, step, signal } = acting;
    const { id } = sandboxOf(acting);
    const script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done";
    const reference = client.sandboxes.at(id);
    await reference.startDetached({ id: step.key, argv: ["sh", "-c", script] }, { signal });
    let text = "";
    for await (const piece of reference.execAt(step.key).logs({ follow: true, signal }))
      if ("data" in piece) text += new TextDecoder().decode(piece.data);
    const { exit, error } = await reference.execAt(step.key).wait({ signal });
    // Ended with its machine: the fault explains it, or nothing does.
    if (exit === null) throw new CliFailed(`the command ended without an exit status: ${error?.message}`);
    expectEqual(acting, [exit.code, text], [0, "1\n2\n3\n4\n5\n6\n7\n8\n"]);
  },

  async fork(acting) {
    const { client, step, signal } = acting;
    const parent = sandboxOf(acting);
    const content = copyContent(parent.content);
    if (step.by === "cli") {
      await cli(acting, "fork", parent.id, "--name", step.key);
      return made(acting, step.key, (await client.sandboxes.get(`${step.key}-1`, { signal })).id, content);
    }
    const { sandboxes } = await client.sandboxes.at(parent.id).fork({ name: step.key, count: 2 }, { signal });
    const [first, second] = sandboxes as [Sandbox, Sandbox];
    await made(acting, step.key, first.id, content);
    await made(acting, `${step.key}-second`, second.id, content);
    return discard(acting, `${step.key}-second`);
  },

  pause: ({ client, signal, ...acting }) => client.sandboxes.at(stilled(acting).id).pause({ signal }),
  resume: ({ client, signal, ...acting }) => client.sandboxes.at(sandboxOf(acting).id).resume({ signal }),
  stop: ({ client, signal, ...acting }) => client.sandboxes.at(stilled(acting).id).stop({ signal }),

  async freeze(acting) {
    const { client, step, told, signal } = acting;
    const sandbox = sandboxOf(acting);
    const content = copyContent(sandbox.content);
    const ref = `cut:${step.key}`;
    const { snapshot } = await client.sandboxes.at(sandbox.id).freeze(ref, { signal });
    told.snapshots.set(step.key, { ref, id: snapshot.id, content });
  },

  async thaw(acting) {
    const { client, step, told, signal } = acting;
    const { ref, content } = imageOf(told.snapshots, step);
    const request = { name: step.key, source: { snapshot: ref }, ttlMs: TTL_MS };
    const { id } = await client.sandboxes.create(request, { signal });
    await made(acting, step.key, id, copyContent(content));
  },

  async tag({ client, step, told, signal }) {
    const { id, content, ref } = imageOf(told.snapshots, step);
    const tag = `cut:${step.key}`;
    await client.snapshots.tag(ref, tag, { signal });
    told.snapshots.set(step.key, { ref: tag, id, content });
  },

  async untag({ client, step, told, signal }) {
    const { ref } = imageOf(told.snapshots, step);
    await client.snapshots.remove(ref, { signal });
    told.snapshots.delete(step.on ?? "");
  },

  async replay(acting) {
    const { client, step, told, signal } = acting;
    const { id: capture, content } = imageOf(told.captures, step);
    const request = { name: step.key, source: { capture }, ttlMs: TTL_MS };
    const { id } = await client.sandboxes.create(request, { signal });
    await made(acting, step.key, id, copyContent(content));
  },

  async rerun(acting) {
    const { client, step, told, signal } = acting;
    const { id, hasCommand } = imageOf(told.captures, step);
    const again = client.captures.rerun(id, { count: 2, argv: ["sh", "-c", "exit 0"] }, { signal });
    if (!hasCommand) {
      const code = await again.then(() => "done", codeOf);
      if (code !== "unsupported") throw await again.then(() => new Broken("a rerun needs a command", id));
      return;
    }
    const { runs } = await again;
    expectEqual(acting, [runs.length, runs.filter(({ failed }) => failed)], [2, []]);
  },

  async capture(acting) {
    const { client, step, told, signal } = acting;
    const sandbox = sandboxOf(acting);
    const content = copyContent(sandbox.content);
    const { id } = await client.sandboxes.at(sandbox.id).capture({ signal });
    told.captures.set(step.key, { ref: id, id, content, hasCommand: false });
  },

  async uncapture({ client, step, told, signal }) {
    await client.captures.remove(imageOf(told.captures, step).id, { signal });
    told.captures.delete(step.on ?? "");
  },

  async cp(acting) {
    const { client, step, scratch, signal } = acting;
    const { id } = sandboxOf(acting);
    const bytes = randomBytes(300_000);
    const path = `/root/${step.key}`;
    if (step.by === "cli") {
      const file = join(scratch, step.key);
      writeFileSync(file, bytes);
      await cli(acting, "cp", file, `${id}:${path}`).finally(() => rmSync(file));
    } else await client.sandboxes.at(id).files.write(path, bytes, { signal });
    const back = await client.sandboxes.at(id).files.readAll(path, { signal });
    expectEqual(acting, digest(back), digest(bytes));
  },

  async rename({ client, step, signal, ...acting }) {
    const sandbox = sandboxOf({ ...acting, step });
    const name = `n-${step.key}`;
    // Told or not, it may have it.
    sandbox.names.add(name);
    await client.sandboxes.at(sandbox.id).rename(name, { signal });
  },

  async extend({ client, signal, ...acting }) {
    const reference = client.sandboxes.at(sandboxOf(acting).id);
    const { expiresAt } = await reference.extend(HOUR_MS, { signal });
    // The clocks jump by some hours, the time to live is months.
    if (Date.parse(expiresAt ?? "") < Date.now() + TTL_MS / 2)
      throw new Broken("a time to live is kept", `${acting.step.on} ends at ${expiresAt}`);
  },

  label: ({ client, step, signal, ...acting }) =>
    client.sandboxes.at(sandboxOf({ ...acting, step }).id).setLabels({ step: step.key }, { signal }),

  async rm(acting) {
    const { client, step, signal } = acting;
    const sandbox = sandboxOf(acting);
    sandbox.fate = "maybe gone";
    if (step.by === "cli") await cli(acting, "rm", sandbox.id);
    else await client.sandboxes.at(sandbox.id).remove({ signal });
    sandbox.fate = "gone";
  },

  async prune({ client, told, signal }) {
    const { captures, snapshots } = await client.host.prune({ signal });
    const pruned = new Set([...captures, ...snapshots].map(({ id }) => id));
    for (const images of [told.captures, told.snapshots])
      for (const [key, { id }] of images) if (pruned.has(id)) images.delete(key);
  },

  pool: ({ client, step, signal }) => client.pools.resize("base", { size: step.count ?? 0 }, { signal }),

  async ls(acting) {
    const { client, step, signal } = acting;
    if (step.by === "cli") await cli(acting, "ls", "--json");
    else await client.sandboxes.list({ signal });
  },
};

async function runOnce({ client, signal }: Acting, exec: { argv: string[]; capture?: "on-failure" }) {
  let stdout = "";
  const decoder = new TextDecoder();
  const take = (chunk: Uint8Array): void => {
    stdout += decoder.decode(chunk, { stream: true });
  };
  const run = await client.run({ create: {}, exec }, { stdout: take, signal });
  return { ...(await run.result), stdout };
}

/** Notes a sandbox, and marks it when it is not a copy of one that is marked. */
async function made(
  { client, told, signal }: Acting,
  key: string,
  id: string,
  content: Content,
): Promise<void> {
  told.sandboxes.set(key, {
    id,
    content,
    names: new Set([key, `${key}-1`, `${key.replace("-second", "")}-2`]),
    fault: null,
    isStill: false,
    fate: "lives",
  });
  if (content.from !== null) return;
  const script = `echo ${key} > /root/mark`;
  const { exitCode } = await client.sandboxes.at(id).exec(["sh", "-c", script], { signal });
  if (exitCode === 0) content.mark = key;
}

/** The plan goes on with the first child of a fork alone. */
async function discard({ client, told, signal }: Acting, key: string): Promise<void> {
  const sandbox = told.sandboxes.get(key);
  if (sandbox === undefined) return;
  sandbox.fate = "maybe gone";
  await client.sandboxes.at(sandbox.id).remove({ signal });
  sandbox.fate = "gone";
}

function sandboxOf({ told, step }: Pick<Acting, "told" | "step">): ToldSandbox {
  const found = told.sandboxes.get(step.on ?? "");
  if (found === undefined || found.fate === "gone") throw new NothingThere(`sandbox ${step.on}`);
  return found;
}

function stilled(acting: Pick<Acting, "told" | "step">): ToldSandbox {
  const sandbox = sandboxOf(acting);
  sandbox.isStill = true;
  return sandbox;
}

function imageOf<T>(images: Map<string, T>, { on }: Step): T {
  const found = images.get(on ?? "");
  if (found === undefined) throw new NothingThere(`${on}`);
  return found;
}

async function cli({ home, signal }: Acting, ...args: string[]): Promise<void> {
  const { exitCode, stderr } = await home.thaw(args, { signal });
  if (exitCode !== 0) throw new CliFailed(`thaw ${args.join(" ")}: ${exitCode}: ${stderr}`);
}

function expectEqual({ step }: Acting, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Broken("a command gives its own answer", `${step.verb} ${step.key}: ${a}, not ${b}`);
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** What a failure is called. */
export function codeOf(error: unknown): string {
  if (error instanceof ThawError) return error.code;
  if (error instanceof CliFailed) return "cli";
  if (error instanceof NothingThere) return "nothing-there";
  return (error as Error).name;
}
