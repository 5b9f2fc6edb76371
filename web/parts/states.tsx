/** What stands in the place of content that is not there. */
import { Component, type ReactNode } from "react";
import { visibleText } from "../../api/clean-text.ts";
import { type Trouble, troubleOf } from "../../client/follow/state.ts";
import { sessionEnded } from "../state/session.ts";
import { CommandText } from "./command.tsx";

export function Loading({ what }: { what: string }) {
  return (
    <p className="state" role="status">
      Loading {visibleText(what)} …
    </p>
  );
}

/** @param command what to type so that there is something */
export function Empty({
  title,
  children,
  command,
}: {
  /** Where nothing else on the page has a heading. */
  title?: string;
  children: ReactNode;
  command?: readonly string[];
}) {
  return (
    <div className="state">
      {title !== undefined && <h1>{visibleText(title)}</h1>}
      <p>{children}</p>
      {command !== undefined && <CommandText args={command} />}
    </div>
  );
}

export function Failed({ title, error, retry }: { title?: string; error: unknown; retry?: () => void }) {
  const { message, hint, code }: Trouble = troubleOf(error);
  if (code === "not-authenticated") sessionEnded();
  return (
    <div className="state bad" role="alert">
      {title !== undefined && <h1>{visibleText(title)}</h1>}
      <p>{visibleText(message)}</p>
      {hint !== undefined && <p className="dim">{visibleText(hint)}</p>}
      {retry !== undefined && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Keeps a failure of one part of the page to that part. `of`: another one is tried anew. */
export class Guard extends Component<{ of?: unknown; children: ReactNode }, { error: unknown; of: unknown }> {
  override state = { error: undefined as unknown, of: this.props.of };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps(
    { of }: { of?: unknown },
    state: { error: unknown; of: unknown },
  ): { error: unknown; of: unknown } | null {
    return of === state.of ? null : { error: undefined, of };
  }

  override render(): ReactNode {
    return this.state.error === undefined ? this.props.children : <Failed error={this.state.error} />;
  }
}
