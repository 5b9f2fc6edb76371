/**
 * The client of thaw's daemon. Everything public is exported here, and only here.
 *
 * @example
 * ```ts
 * import { Thaw } from "thaw-ci";
 *
 * await using thaw = new Thaw();
 * await using sandbox = await thaw.sandboxes.create({ source: { template: "node" } });
 * const exec = await sandbox.start(["node", "--version"]);
 * for await (const { text } of exec.lines()) console.log(text);
 * const { exit } = await exec.wait();
 * ```
 *
 * Another host: `new Thaw({ remote: parseRemote("ci-3", "ssh://ann@ci-3") })`; the one the command line works on: `chooseContext().remote`.
 */
export { networkModes } from "../api/closed-lists.ts";
export { type ErrorCode, errorCodes } from "../api/error-codes.ts";
export { mistakesIn, suggestedRules, warningsIn } from "../api/network-rule.ts";
export { LOGIN_SHELL } from "../api/own-commands.ts";
export type {
  ApiError,
  Artifact,
  AuditEntry,
  AuditPage,
  BuildRequest,
  Cache,
  CacheRequest,
  CacheSaved,
  Capture,
  CaptureCheck,
  CaptureList,
  CapturePolicy,
  CaptureQuery,
  CaptureVerifyReport,
  CiContext,
  CreateRequest,
  DaemonInfo,
  DiskListing,
  DiskUse,
  DoctorReport,
  Event,
  Exec as ExecInfo,
  ExecDefaults,
  ExecExit,
  ExecList,
  ExecRequest,
  ExecResult,
  FileEntry,
  FolderListing,
  ForkRequest,
  Forward,
  ForwardRequest,
  GuestReport,
  HostLimits,
  ImportRequest,
  ImportState,
  MachineStats,
  NetworkEntry,
  NetworkLayer,
  NetworkMode,
  NetworkRequest,
  NetworkState,
  NetworkSummary,
  NewToken,
  Next,
  Outline,
  OutlineCheck,
  PackageSummary,
  PatchRequest,
  Pool,
  PoolList,
  PoolMode,
  PoolSize,
  PortsState,
  Preview,
  PreviewRequest,
  Probe,
  Progress,
  PruneReport,
  PublishRequest,
  PushedByHost,
  QuarantineEntry,
  Rerun,
  RerunRequest,
  RerunRun,
  Resources,
  Rights,
  RunOnceRequest,
  RunRequest,
  Sandbox as SandboxInfo,
  Snapshot,
  SnapshotList,
  SnapshotPackages,
  StatsSample,
  StatusMessage,
  Template,
  TemplatePruneReport,
  TemplateRemoval,
  Ticket,
  TicketRequest,
  Token,
  TokenRequest,
  VerifyReport,
  WaitResult,
} from "../api/schema.ts";
export type { ByteSource, CallOptions, ProgressOptions } from "./api-calls.ts";
export type { AttachTarget, ExecConnection, ExecHandlers } from "./channels.ts";
export { readCiContext } from "./ci-context.ts";
export { isNobodyThere } from "./connection-error.ts";
export { type Contexts, findConfigFolder, localContext, readContexts } from "./contexts/config.ts";
export { type ChosenContext, chooseContext, findRemote } from "./contexts/find.ts";
export {
  formatSsh,
  formatThere,
  type ListeningHost,
  parseRemote,
  type RemoteHost,
  type RemoteSettings,
  type SshHost,
} from "./contexts/remote.ts";
export { saveContexts } from "./contexts/save.ts";
export { findDaemonLog } from "./daemon-log.ts";
export { describeNoAnswer, systemCode, ThawError, type ThawErrorOptions } from "./errors.ts";
export { type Change, changesOf } from "./follow/changes.ts";
export { type FollowedClient, Follower, type FollowOptions, type ListKind } from "./follow/host.ts";
export { lineageOf, type Relative } from "./follow/lineage.ts";
export { addSample, type HostState, newHost, type Trouble, troubleOf, type Usage } from "./follow/state.ts";
export { hostDaemon } from "./host-daemon.ts";
export { installDaemon } from "./install.ts";
export { GLOBAL_KEYS, type GlobalAction, type GlobalKey, showKey } from "./keymap.ts";
export type { LogChunk, LogOptions } from "./logs.ts";
export type { OutputConsumer } from "./output-channel.ts";
export type { ListEnd, PageOptions } from "./pages.ts";
export { findPaths, type ThawPaths } from "./paths.ts";
export { findProjectFile, findRepository } from "./project/find.ts";
export { projectJsonSchema } from "./project/json-schema.ts";
export { loadProject, nameFile, type Project, readBounded } from "./project/load.ts";
export { commandOf, findProjectTemplate, planProjectRun, type RunPlan } from "./project/plan.ts";
export { readTextNow } from "./project/read-text.ts";
export type { ProjectFile, RunDefinition } from "./project/schema.ts";
export { isTemplatePath } from "./project/template-path.ts";
export type { ReachOptions } from "./reach.ts";
export { stopDaemon } from "./replace-daemon.ts";
export type { Caches } from "./resources/caches.ts";
export type { CapturedFileOptions, Captures } from "./resources/captures.ts";
export type {
  AttachOptions,
  DroppedOutput,
  Exec,
  ExecReference,
  OutputLine,
  StartOptions,
} from "./resources/exec.ts";
export type { Files, GuestFiles, TreeOptions, WriteOptions } from "./resources/files.ts";
export type { Host, Quarantine } from "./resources/host.ts";
export type { Network } from "./resources/network.ts";
export type { Pools } from "./resources/pools.ts";
export type { Ports } from "./resources/ports.ts";
export type { Forked, Frozen, RunOptions, Sandbox, SandboxReference } from "./resources/sandbox.ts";
export type { Sandboxes } from "./resources/sandboxes.ts";
export type { Snapshots, Templates } from "./resources/snapshots.ts";
export type { Tokens } from "./resources/tokens.ts";
export type { Transfers } from "./resources/transfers.ts";
export { buildRunRequest, overrideSettings, type RunSettings } from "./run-settings.ts";
export { type SentWorkspace, sendWorkspace } from "./send-workspace.ts";
export { quoteForShell } from "./shell-quote.ts";
export { LastLines } from "./ssh/last-lines.ts";
export { ArchiveWriter } from "./stores/archive.ts";
export { type Encryption, encryptTo } from "./stores/encryption.ts";
export { openStore } from "./stores/open.ts";
export { find as findInStore, type Pulled, type PullOptions, pull, readOutlines } from "./stores/pull.ts";
export { type Pushed, type PushOptions, push, type Sending } from "./stores/push.ts";
export { isStoreReference } from "./stores/reference.ts";
export { type LoginOptions, login, logout } from "./stores/registry/login.ts";
export { parseRegistryHost } from "./stores/registry/name.ts";
export type { Store } from "./stores/store.ts";
export { readTemplate } from "./template-source.ts";
export { Thaw } from "./thaw.ts";
export type { EventsOptions } from "./thaw-client.ts";
export { LostAttributes } from "./tree/attributes.ts";
export { showPath } from "./tree/format.ts";
export { type PackEntry, packTree, type SkippedEntry } from "./tree/pack.ts";
export { type SendOptions, type Sent, sendEntries } from "./tree/send.ts";
export { SourceFolder } from "./tree/source-folder.ts";
export { type UnpackLimits, type UnpackOptions, type UnpackResult, unpackTree } from "./tree/unpack.ts";
export { walkFolder } from "./tree/walk.ts";
export { type BuildVersion, findOwnVersion } from "./version.ts";
export { type Checkout, findCheckout } from "./workspace/checkout.ts";
export { compileGlob } from "./workspace/glob.ts";
export { collectWorkspace, type Workspace } from "./workspace.ts";
export { workspacePath } from "./workspace-path.ts";
