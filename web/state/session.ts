/** Who looks at the page. The session is a cookie that no script can read; the daemon makes it of a ticket or a token. */
import { Value } from "./value.ts";

export interface SignedIn {
  name: string;
  rights: string;
  expiresAt: string | null;
}

export type Session =
  | { state: "checking" }
  | { state: "in"; who: SignedIn }
  /** `trouble`: why the last attempt failed. */
  | { state: "out"; hadSession: boolean; trouble?: string | undefined };

export const session = new Value<Session>({ state: "checking" });
const PATH = "/v1/session";

async function ask(method: string, json?: unknown): Promise<Response> {
  const body = json === undefined ? {} : { body: JSON.stringify(json) };
  const headers = json === undefined ? {} : { "content-type": "application/json" };
  return fetch(PATH, { method, headers, credentials: "same-origin", cache: "no-store", ...body });
}

async function troubleOf(answer: Response): Promise<string> {
  const body = (await answer.json().catch(() => null)) as { error?: { message?: unknown } } | null;
  const message = body?.error?.message;
  return typeof message === "string" ? message : `the daemon answered ${answer.status}`;
}

function setOut(trouble?: string): void {
  session.set((before) => ({
    ...{ state: "out", trouble },
    hadSession: before.state === "in" || (before.state === "out" && before.hadSession),
  }));
}

/** Asks whether there is a session. */
export async function checkSession(): Promise<void> {
  try {
    const answer = await ask("GET");
    if (!answer.ok) setOut(answer.status === 401 ? undefined : await troubleOf(answer));
    else {
      const who = (await answer.json()) as SignedIn;
      session.set(() => ({ state: "in", who }));
    }
  } catch {
    setOut("the daemon does not answer");
  }
}

/** Begins a session. @param by the one-time ticket of a link, or a token */
export async function signIn(by: { ticket: string } | { token: string }): Promise<void> {
  try {
    const answer = await ask("POST", by);
    if (answer.ok) await checkSession();
    else setOut(await troubleOf(answer));
  } catch {
    setOut("the daemon does not answer");
  }
}

export async function signOut(): Promise<void> {
  await ask("DELETE").catch(() => {});
  session.set(() => ({ state: "out", hadSession: false }));
}

/** Begins with the ticket of the address, which is taken out of it at once, or with the session that there is. */
export async function openSession(): Promise<void> {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  if (ticket === null) return checkSession();
  history.replaceState(history.state, "", location.pathname + location.search);
  return signIn({ ticket });
}

/** A request was refused for want of a session. */
export function sessionEnded(): void {
  if (session.value.state === "in") setOut();
}
