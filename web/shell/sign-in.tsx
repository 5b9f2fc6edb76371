import { type FormEvent, useId, useState } from "react";
import { CommandText } from "../parts/command.tsx";
import { checkSession, session, signIn } from "../state/session.ts";
import { useValue } from "../state/value.ts";

/** How to begin a session. @param isAgain there was one: the page goes on where it is */
export function SignIn({ isAgain = false }: { isAgain?: boolean }) {
  const who = useValue(session);
  const id = useId();
  const [token, setToken] = useState("");
  const [isBusy, setBusy] = useState(false);
  const trouble = who.state === "out" ? who.trouble : undefined;
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    await signIn({ token: token.trim() });
    setBusy(false);
    setToken("");
  };
  return (
    <section className={isAgain ? "banner bad sign-in" : "sign-in"} aria-labelledby={`${id}-title`}>
      <h1 id={`${id}-title`}>{isAgain ? "Your session has ended" : "Open thaw"}</h1>
      <p>
        {isAgain
          ? "The page stays as it is. Open a new link in another tab and come back, or paste a token here."
          : "On the daemon's host, this command prints a link that opens this page once:"}
      </p>
      <p>
        <CommandText args={["ui"]} />
        {isAgain && (
          <button type="button" onClick={() => void checkSession()}>
            I have opened a new link
          </button>
        )}
      </p>
      <form onSubmit={(event) => void submit(event)}>
        <label htmlFor={`${id}-token`}>Or paste a token (thaw token create)</label>
        <span className="field">
          <input
            id={`${id}-token`}
            type="password"
            autoComplete="off"
            spellCheck={false}
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
          <button type="submit" disabled={isBusy || token.trim() === ""}>
            Sign in
          </button>
        </span>
      </form>
      {trouble !== undefined && (
        <p className="bad" role="alert">
          {trouble}
        </p>
      )}
    </section>
  );
}
