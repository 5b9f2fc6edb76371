/** How one thing is shown: its name, what can be done with it, and tabs. */
import { Link, useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, type ReactNode, Suspense, useEffect } from "react";
import { usePageActions } from "../shell/page-actions.ts";
import { useNarrow } from "../state/narrow.ts";
import { type Action, ActionButton } from "./command.tsx";
import { Guard, Loading } from "./states.tsx";

export interface Tab {
  id: string;
  title: string;
  content: () => ReactNode;
}

export interface DetailProps {
  /** The way here: the view, and what the thing belongs to. */
  back: { to: "/failures" | "/sandboxes" | "/snapshots" | "/templates" | "/hosts"; title: string };
  title: ReactNode;
  subtitle?: ReactNode;
  actions: readonly Action[];
  tabs: readonly Tab[];
  /** Id of the open tab, by the address. */
  tab: string | undefined;
}

export function DetailLayout({ back, title, subtitle, actions, tabs, tab }: DetailProps) {
  const navigate = useNavigate();
  const isNarrow = useNarrow();
  usePageActions(actions);
  const [first] = tabs;
  const open = tabs.find(({ id }) => id === tab) ?? first;
  useEffect(() => {
    document.getElementById(`tab-${open?.id}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [open?.id]);
  const show = (id: string): void =>
    void navigate({
      to: ".",
      search: ((before: object) => ({ ...before, tab: id })) as never,
      replace: true,
    });
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0 || open === undefined) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(open) + step + tabs.length) % tabs.length];
    if (next === undefined) return;
    show(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <article className="detail">
      <div className="title">
        <nav aria-label="Way here">
          <Link to={back.to}>{back.title}</Link> ›
        </nav>
        <h1>{title}</h1>
        {subtitle !== undefined && <p className="dim">{subtitle}</p>}
      </div>
      <aside aria-label="Actions">
        <details key={String(isNarrow)} className="actions" open={!isNarrow}>
          <summary>Actions</summary>
          {actions.map((action) => (
            <ActionButton key={action.label} action={action} />
          ))}
        </details>
      </aside>
      <div className="content">
        <div role="tablist" aria-label="Parts" onKeyDown={onKeyDown} tabIndex={-1}>
          {tabs.map(({ id, title: name }) => (
            <button
              key={id}
              id={`tab-${id}`}
              type="button"
              role="tab"
              aria-selected={id === open?.id}
              aria-controls="tab-content"
              tabIndex={id === open?.id ? 0 : -1}
              onClick={() => show(id)}
            >
              {name}
            </button>
          ))}
        </div>
        {open !== undefined && (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by keys
          <div id="tab-content" role="tabpanel" tabIndex={0} aria-labelledby={`tab-${open.id}`}>
            <Guard of={open.id}>
              <Suspense fallback={<Loading what={open.title} />}>{open.content()}</Suspense>
            </Guard>
          </div>
        )}
      </div>
    </article>
  );
}

/** Names and values; those without a value are left out. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
