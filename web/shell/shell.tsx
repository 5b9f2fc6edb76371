/** What is around every view. */
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { visibleText } from "../../api/clean-text.ts";
import { Guard, Loading } from "../parts/states.tsx";
import { useHost } from "../state/page-host.ts";
import { session, signOut } from "../state/session.ts";
import { useValue } from "../state/value.ts";
import { Banner } from "./banner.tsx";
import { Dialog } from "./dialog.tsx";
import { Help } from "./help.tsx";
import { useKeys } from "./keys.ts";
import { Palette } from "./palette.tsx";
import { SignIn } from "./sign-in.tsx";
import { Tasks } from "./tasks.tsx";
import { ThemeSwitch } from "./theme.tsx";
import { VIEWS, type ViewLink } from "./views.ts";

function NavLink({ view: { to, title, count } }: { view: ViewLink }) {
  const number = useHost(count);
  return (
    <Link to={to} activeProps={{ className: "active" }}>
      {title} <span className="count">{number}</span>
    </Link>
  );
}

function HostName() {
  const name = useHost(({ info }) => info?.host);
  const status = useHost((host) => host.status);
  return (
    <span className={`host ${status}`} title={`host ${name ?? ""}: ${status}`}>
      {name ?? ""}
    </span>
  );
}

function SignOut() {
  const who = useValue(session);
  if (who.state !== "in") return null;
  const { name, rights, expiresAt } = who.who;
  const until = expiresAt === null ? "" : `, until ${new Date(expiresAt).toLocaleString()}`;
  return (
    <button type="button" title={visibleText(`${name}: ${rights}${until}`)} onClick={() => void signOut()}>
      Sign out
    </button>
  );
}

export function Shell() {
  const who = useValue(session);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  useKeys();
  if (who.state === "checking") return <Loading what="the page" />;
  // who has lost the session keeps what the page shows
  if (who.state === "out" && !who.hadSession)
    return (
      <main className="alone">
        <SignIn />
      </main>
    );
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header>
        <Link to="/failures" className="brand">
          thaw
        </Link>
        <nav aria-label="Views">
          {VIEWS.map((view) => (
            <NavLink key={view.to} view={view} />
          ))}
        </nav>
        <span className="tools">
          <HostName />
          <Palette />
          <Help />
          <ThemeSwitch />
          <SignOut />
        </span>
      </header>
      <Banner />
      <main id="main" tabIndex={-1}>
        <Guard of={path}>
          <Outlet />
        </Guard>
      </main>
      <Tasks />
      <Dialog />
    </>
  );
}
