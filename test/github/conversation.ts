/** A pull request as the Action writes to it: comments, reviews, deployments, rights. Handlers for the local server of GitHub's API. */
import { example, type Handler } from "./server.ts";

export interface Comment {
  id: number;
  author: string;
  body: string;
}
export interface Review {
  by: string;
  state: string;
  sha: string;
  association: string;
}

export class Conversation {
  readonly comments: Comment[] = [];
  readonly reviews: Review[] = [];
  /** Statuses in order, as `ID STATE URL`. */
  readonly statuses: string[] = [];
  readonly deployments: { id: number; environment: string; sha: string }[] = [];
  /** Role of each user in the repository; others have `read`. */
  readonly roles: Record<string, string> = {};
  /** Whose token it is; undefined: a workflow's own, which may not ask. */
  user: string | undefined = undefined;
  state = "open";
  headSha: string;
  #nextId = 1;

  constructor(headSha: string) {
    this.headSha = headSha;
  }

  get handlers(): Record<string, Handler> {
    const author = (): string => this.user ?? "github-actions[bot]";
    const toComment = ({ id, author: login, body }: Comment): object => {
      const base = example("issues/create-comment");
      return { ...base, id, body, user: { ...(base.user as object), login } };
    };
    return {
      "users/get-authenticated": () =>
        this.user === undefined
          ? undefined
          : { body: example("users/get-authenticated", { login: this.user }) },
      "pulls/get": ({ parameters }) => {
        const base = example("pulls/get");
        const head = { ...(base.head as object), sha: this.headSha };
        return {
          body: {
            ...base,
            number: Number(parameters.pull_number),
            state: this.state,
            head,
            requested_teams: [],
          },
        };
      },
      "pulls/list-reviews": () => ({
        body: this.reviews.map(({ by, state, sha, association }, index) => {
          const base =
            (example("pulls/list-reviews") as unknown as Record<string, Record<string, unknown>>)[0] ?? {};
          const user = { ...(base.user as object), login: by, id: 100 + by.charCodeAt(0) };
          return { ...base, id: index + 1, state, commit_id: sha, author_association: association, user };
        }),
      }),
      "repos/get-collaborator-permission-level": ({ parameters }) => {
        const role = this.roles[parameters.username ?? ""] ?? "read";
        const permission = { triage: "read", maintain: "write" }[role] ?? role;
        const base = example("repos/get-collaborator-permission-level");
        return {
          body: { ...base, role_name: role, permission, user: { ...(base.user as object), role_name: role } },
        };
      },
      "issues/list-comments": () => ({ body: this.comments.map(toComment) }),
      "issues/create-comment": ({ body }) => {
        const comment = { id: this.#nextId++, author: author(), body: (body as { body: string }).body };
        this.comments.push(comment);
        return { status: 201, body: toComment(comment) };
      },
      "issues/update-comment": ({ parameters, body }) => {
        const comment = this.comments.find(({ id }) => String(id) === parameters.comment_id);
        if (comment === undefined || comment.author !== author()) return undefined;
        comment.body = (body as { body: string }).body;
        return { body: toComment(comment) };
      },
      "repos/create-deployment": ({ body }) => {
        const { environment, ref } = body as { environment: string; ref: string };
        const id = this.#nextId++;
        this.deployments.push({ id, environment, sha: ref });
        return { status: 201, body: example("repos/create-deployment", { id, environment, sha: ref }) };
      },
      "repos/create-deployment-status": ({ parameters, body }) => {
        const { state, environment_url = "" } = body as { state: string; environment_url?: string };
        this.statuses.push(`${parameters.deployment_id} ${state} ${environment_url}`.trimEnd());
        return { status: 201, body: example("repos/create-deployment-status", { state }) };
      },
      "repos/list-deployments": ({ parameters }) => ({
        body: this.deployments
          .filter(({ environment }) => environment === parameters.environment)
          .map(({ id, environment, sha }) => example("repos/create-deployment", { id, environment, sha })),
      }),
    };
  }
}
