/** The main step of the Action: inputs → plan → step → summary and outputs. */
import { randomUUID } from "node:crypto";
import { error as annotateError, notice, setOutput, setSecret, warning } from "@actions/core";
import { findShort, MIN_SECRET_BYTES } from "../api/mask.ts";
import { Thaw, ThawError } from "../client/index.ts";
import { abortOnCancel } from "./cancel.ts";
import { formsOfToken } from "./fetch/source.ts";
import { GUEST_PREFIX, readInputs } from "./inputs.ts";
import { GuestLog } from "./log.ts";
import { neutralise } from "./neutralise.ts";
import { isHosted, isJobContainer } from "./place.ts";
import { planStep, type StepPlan } from "./plan.ts";
import type { Preview } from "./preview.ts";
import { describeError, InputMistakes } from "./reader.ts";
import { saveStepState } from "./state.ts";
import type { StepResult } from "./step.ts";

const started = performance.now();
/** How long the comment may hold the job. */
const COMMENT_MS = 30_000;

function refuseContainer(): void {
  if (!isJobContainer(process.env)) return;
  throw new ThawError("unsupported", "this job runs in a container, where thaw can't start machines", {
    hint: "remove `container:` from the job, and give the image that the step needs as `template:`",
  });
}

/** The runner masks them in the log; the daemon masks them in what the guest writes and in what is kept. */
async function maskSecrets({ secrets, code }: StepPlan, log: GuestLog): Promise<void> {
  for (const form of code === undefined ? [] : formsOfToken(code.token)) setSecret(form);
  for (const value of Object.values(secrets))
    for (const line of [value, ...value.split("\n")]) if (line.trim() !== "") setSecret(line);
  for (const name of findShort(secrets))
    await log.say(`${name} is not masked in captures, because it has fewer than ${MIN_SECRET_BYTES} bytes`);
}

function setOutputs(result: StepResult): void {
  setOutput("exit-code", result.exitCode);
  setOutput("outcome", result.outcome);
  if (result.stays && result.sandbox !== undefined) setOutput("sandbox", result.sandbox.name);
  if (result.capture !== undefined) {
    setOutput("capture", result.capture.reference);
    setOutput("replay-command", result.capture.replayCommand);
  }
  for (const [name, value] of result.brought?.outputs ?? []) setOutput(GUEST_PREFIX + name, value);
}

/** A failure before there was a step. */
function fail(error: unknown): void {
  const lines = error instanceof InputMistakes ? [error.message, ...error.details] : [describeError(error)];
  annotateError(neutralise(lines.join("\n")));
  setOutput("outcome", "error");
  setOutput("exit-code", 125);
  process.exitCode = 1;
}

async function tell(result: StepResult, plan: StepPlan, log: GuestLog): Promise<void> {
  const { annotate, describeEnd, LAST_LINES, summarise } = await import("./report.ts");
  for (const note of result.notes) await log.say(note);
  for (const { destination, port, count, rule, reason } of result.exitCode === 0 ? [] : result.denied)
    await log.say(
      `denied: ${destination}:${port} (${count}×) · ${rule === null ? reason : `add ${rule} to network:`}`,
    );
  if (result.capture !== undefined)
    await log.say(`captured as ${result.capture.reference} · ${result.capture.replayCommand}`);
  await log.say(`${plan.title} · ${describeEnd(result)}`);
  if (result.capture !== undefined) {
    const { announce } = await import("./announce.ts");
    const announced = announce(result, { step: plan.title, ending: describeEnd(result) });
    if (announced !== undefined) notice(neutralise(announced.message), { title: announced.title });
  }
  setOutputs(result);
  if (result.rerun !== undefined) {
    const { verdictOf } = await import("./capture.ts");
    setOutput("flake-verdict", verdictOf(result.rerun));
  }
  const { addToSummary } = await import("./summary.ts");
  const totalMs = performance.now() - started;
  await addToSummary(summarise(result, { plan, output: log.lastLines(LAST_LINES), totalMs })).catch(
    (error: unknown) => warning(`no job summary: ${describeError(error)}`),
  );
  if (result.exitCode !== 0) annotateError(neutralise(annotate(result, plan.title)));
  process.exitCode = result.exitCode;
}

/** Prepares the pull request's preview where one is asked for. @throws ThawError where none can be made */
async function openPreview(
  plan: StepPlan,
  { client, signal }: { client: Thaw; signal: AbortSignal },
): Promise<Preview | "nothing to run" | undefined> {
  if (plan.previewPort === undefined) return undefined;
  const { beginPreview } = await import("./preview.ts");
  const token = readInputs(process.env)["github-token"];
  return (await beginPreview(plan, { thaw: client, env: process.env, token, signal })) ?? "nothing to run";
}

/** What can't be published is told, and is the step's failure only where the preview does not answer. */
async function finishPreview(preview: Preview, result: StepResult): Promise<void> {
  try {
    const url = await preview.finish(result);
    if (url !== undefined) setOutput("preview-url", url);
    if (url === undefined) result.stays = false;
  } catch (error) {
    result.error = describeError(error);
    result.outcome = "error";
    result.exitCode = 125;
  }
}

async function main(): Promise<void> {
  const log = new GuestLog({ token: randomUUID() });
  using cancel = abortOnCancel();
  let plan: StepPlan;
  try {
    refuseContainer();
    plan = await planStep(process.env, { random: randomUUID() });
  } catch (error) {
    return fail(error);
  }
  await maskSecrets(plan, log);
  await using client = new Thaw();
  const { signal } = cancel;
  const { runStep } = await import("./step.ts");
  if (isHosted(process.env)) {
    const { prepareHosted } = await import("./host.ts");
    await prepareHosted(client, { log, signal });
  }
  const preview = await openPreview(plan, { client, signal });
  if (preview === "nothing to run") {
    setOutput("outcome", "success");
    setOutput("exit-code", 0);
    return;
  }
  const result = await runStep(preview?.plan ?? plan, { client, log, signal, save: saveStepState });
  if (preview !== undefined) await finishPreview(preview, result);
  if (result.code === "host-not-ready" || result.code === "build-failed") {
    const { explainHost } = await import("./host.ts");
    const missing = await explainHost(client);
    if (missing !== undefined) result.error += `\n${missing}`;
  }
  if (plan.comment === "failure" && preview === undefined) {
    const { commentFailure } = await import("./comment-failure.ts");
    const token = readInputs(process.env)["github-token"];
    // How the step ended is told in any case.
    const late = AbortSignal.any([signal, AbortSignal.timeout(COMMENT_MS)]);
    await commentFailure(result, plan, { env: process.env, token, signal: late }).catch((error: unknown) =>
      result.notes.push(`the comment could not be written: ${describeError(error)}`),
    );
  }
  await tell(result, plan, log);
}

try {
  await main();
} catch (error) {
  fail(error);
}
// Sockets of the daemon that are still open hold nothing up.
process.exit();
