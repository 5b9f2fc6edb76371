import { ThawError } from "../../client/index.ts";
import { connectGitHub, findServer, findToken, type GitHub, GitHubError } from "../../github/index.ts";

/** Does something with GitHub's API; its failures become the command line's. */
export async function withGitHub<T>(
  { host, signal }: { host: string | undefined; signal: AbortSignal },
  work: (github: GitHub) => Promise<T>,
): Promise<T> {
  return translated(async () => {
    const server = findServer(host, process.env);
    const found = await findToken(server, process.env);
    signal.throwIfAborted();
    return work(await connectGitHub({ apiUrl: server.apiUrl, token: found?.token, signal }));
  });
}

/** Runs `work`; a GitHubError becomes a ThawError. */
export async function translated<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GitHubError)) throw error;
    throw new ThawError(error.code, error.message, { hint: error.hint, cause: error });
  }
}
