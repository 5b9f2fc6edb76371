/**
 * The client of thaw's daemon.
 *
 * @example
 * ```ts
 * await using thaw = new ThawClient();
 * const sandbox = await thaw.createSandbox({ source: { template: "node" } });
 * const started = await thaw.startExec(sandbox.id, { argv: ["node", "--version"] });
 * const connection = await thaw.attach({ sandbox: sandbox.id, exec: started.id }, { stdout: (chunk) => { process.stdout.write(chunk); } });
 * const { exit } = await connection.result;
 * await thaw.removeSandbox(sandbox.id);
 * ```
 *
 * Another host: `new ThawClient({ remote: parseRemote("ci-3", "ssh://ann@ci-3") })`; the one the command line works on: `chooseContext().remote`.
 */
export type * from "../api/schema.ts";
export type { AttachTarget, ExecConnection, ExecHandlers } from "./channels.ts";
export { type ChosenContext, chooseContext } from "./contexts/find.ts";
export { parseRemote, type RemoteHost } from "./contexts/remote.ts";
export { ThawError, type ThawErrorOptions } from "./errors.ts";
export type { LogChunk, LogOptions } from "./logs.ts";
export type { OutputConsumer } from "./output-channel.ts";
export { findPaths, type ThawPaths } from "./paths.ts";
export { findProjectFile } from "./project/find.ts";
export { loadProject, type Project } from "./project/load.ts";
export { planProjectRun, type RunPlan } from "./project/plan.ts";
export type { ProjectFile, RunDefinition } from "./project/schema.ts";
export type { ReachOptions } from "./reach.ts";
export { buildRunRequest, overrideSettings, type RunSettings } from "./run-settings.ts";
export { openStore } from "./stores/open.ts";
export { find as findInStore, type Pulled, type PullOptions, pull } from "./stores/pull.ts";
export { type Pushed, type PushOptions, push, type Sending } from "./stores/push.ts";
export { isStoreReference } from "./stores/reference.ts";
export {
  type ByteSource,
  type CallOptions,
  type CapturedPathOptions,
  type Forked,
  type Frozen,
  type PathOptions,
  type ProgressOptions,
  ThawClient,
} from "./thaw-client.ts";
export { type PackEntry, packTree, type SkippedEntry } from "./tree/pack.ts";
export { type UnpackLimits, type UnpackOptions, type UnpackResult, unpackTree } from "./tree/unpack.ts";
export { collectWorkspace, type Workspace } from "./workspace.ts";
