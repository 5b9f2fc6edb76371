/** GitHub's API as far as thaw uses it. Importing this loads neither octokit nor a network client. */
export { type Artifact, downloadArtifact, findArtifact } from "./artifacts.ts";
export {
  CAPTURE_NOTICE_TITLE,
  type CaptureNotice,
  type CapturePlace,
  formatCaptureNotice,
  parseCaptureNotice,
} from "./capture-notice.ts";
export { listCaptureNotices } from "./captures.ts";
export { connectGitHub, type GitHub, type RepositoryName } from "./client.ts";
export { GitHubError } from "./error.ts";
export { findParent, findPullRequest, getPullRequest, type PullRequest } from "./pull-requests.ts";
export { nameOf, parseRemoteUrl, parseRepository, type RemoteRepository } from "./remote.ts";
export {
  getJob,
  getRun,
  hasFailed,
  type Job,
  listFailedJobs,
  listFailedRuns,
  type WorkflowRun,
} from "./runs.ts";
export { findServer, type GitHubServer } from "./server.ts";
export { type FoundToken, findToken } from "./token.ts";
