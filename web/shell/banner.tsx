/** What is wrong with the connection, and how to go on. */
import { visibleText } from "../../api/clean-text.ts";
import { useHost } from "../state/page-host.ts";
import { session } from "../state/session.ts";
import { useValue } from "../state/value.ts";
import { SignIn } from "./sign-in.tsx";

/** The build of the daemon that this page came from. */
let ownDigest: string | undefined;

export function Banner() {
  const who = useValue(session);
  const status = useHost((host) => host.status);
  const trouble = useHost((host) => host.trouble);
  const digest = useHost(({ info }) => info?.digest);
  const unreadable = useHost((host) => host.unreadable.size);
  ownDigest ??= digest;
  if (who.state === "out") return <SignIn isAgain />;
  if (digest !== undefined && digest !== ownDigest)
    return (
      <div className="banner" role="status">
        The daemon was replaced by another version.{" "}
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      </div>
    );
  if (status === "offline")
    return (
      <div className="banner bad" role="status">
        No connection to the daemon; trying again. What is shown may be old.
        {trouble !== undefined && <span className="dim"> {visibleText(trouble.message)}</span>}
      </div>
    );
  if (trouble !== undefined)
    return (
      <div className="banner" role="status">
        {visibleText(trouble.message)}
      </div>
    );
  if (status === "connecting")
    return (
      <div className="banner" role="status">
        Connecting …
      </div>
    );
  if (unreadable > 0)
    return (
      <div className="banner" role="status">
        This page can't show {unreadable} of the daemon's entries: they are of another version.
      </div>
    );
  return null;
}
