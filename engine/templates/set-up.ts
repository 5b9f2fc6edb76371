/** A setup step of a template, in the machine that it is built in: it reaches what the recipe lists, as a sandbox would. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { defined } from "../../api/defined.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import { EngineError } from "../errors.ts";
import { Egress } from "../network/egress.ts";
import type { HostNetwork } from "../network/host.ts";
import { NetworkLog } from "../network/log.ts";
import { EffectivePolicy, extended, noNetwork } from "../network/policy.ts";
import { type OnProgress, phase } from "../progress.ts";
import { runGuestStep } from "./guest-step.ts";
import type { Recipe, Step } from "./recipe.ts";

const GUEST_CA_PATH = "/run/thaw-build-ca.crt";
const MAX_TOLD = 5;

export interface SetUpOptions {
  host: HostNetwork;
  onProgress: OnProgress;
  signal: AbortSignal;
}

/** Throws `build-failed` for a step that fails; the hint names the connections that were denied. */
export async function setUp(agent: Agent, recipe: Recipe, step: Step, options: SetUpOptions): Promise<void> {
  const { host, onProgress, signal } = options;
  const dir = await mkdtemp(join(tmpdir(), "thaw-build-network-"));
  const log = new NetworkLog(dir);
  const policy = extended(noNetwork(), { allow: recipe.network }, `template ${recipe.name}`);
  const egress = new Egress({
    policy: new EffectivePolicy(policy, host.maximum()),
    log,
    resolve: host.resolve,
    upstream: host.upstream,
  });
  egress.serve(agent);
  try {
    const lent = await lendAuthorities(agent);
    const { env: own, user, name, run } = { env: {}, user: undefined, ...step };
    const env = { ...recipe.env, ...own, DEBIAN_FRONTEND: "noninteractive", ...lent };
    const about = { subject: recipe.name, phase: `setup: ${step.name}` };
    const onLine = (detail: string): void =>
      onProgress({ type: "progress", ...about, state: "output", detail });
    await phase(onProgress, about, () =>
      runGuestStep(agent, { name, run, env, ...defined({ user }) }, onLine, signal),
    );
    if (lent !== null)
      await runGuestStep(
        agent,
        { name: "clean up", run: `rm -f ${GUEST_CA_PATH}`, env: {} },
        () => {},
        signal,
      );
  } catch (error) {
    throw withDenied(error, log, agent);
  } finally {
    agent.session.offers.onConnect = null;
    await log.flush();
    await rm(dir, { recursive: true, force: true });
  }
}

function withDenied(error: unknown, log: NetworkLog, { welcome }: Agent): unknown {
  if (!(error instanceof EngineError)) return error;
  const denied = log.summary.filter(({ verdict }) => verdict === "denied");
  const missing = welcome.missing.egress;
  if (denied.length === 0 && missing === undefined) return error;
  const hint =
    missing === undefined
      ? `refused on the way out: ${denied
          .slice(0, MAX_TOLD)
          .map(({ destination, port, reason }) => `${destination}:${port} (${reason})`)
          .join(", ")}; list what it needs under \`network:\``
      : `the machine has no network: ${missing}`;
  return new EngineError(error.code, error.message, { hint, details: error.details, cause: error });
}

/** A host behind an inspecting proxy trusts a CA that the guest does not know. The guest gets the host's CA bundle for the step only. */
async function lendAuthorities(agent: Agent): Promise<Record<string, string> | null> {
  const path = process.env.SSL_CERT_FILE ?? process.env.NODE_EXTRA_CA_CERTS;
  const bundle = path ? await readFile(path).catch(() => null) : null;
  if (!bundle) return null;
  await agent.writeFile(GUEST_CA_PATH, Readable.from([bundle]), 0o644);
  const names = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
  ];
  return Object.fromEntries(names.map((name) => [name, GUEST_CA_PATH]));
}
