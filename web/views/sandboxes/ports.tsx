/** What listens in a sandbox, and the ways to it: links for browsers, and ports of the host. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { parseDuration } from "../../../api/duration.ts";
import type { Preview, Sandbox } from "../../../api/schema.ts";
import { thaw } from "../../client.ts";
import { act, CommandText, CopyButton } from "../../parts/command.tsx";
import { Form } from "../../parts/form.tsx";
import { Until } from "../../parts/next.tsx";
import { Failed, Loading } from "../../parts/states.tsx";
import { Text } from "../../parts/text.tsx";
import { pageHost } from "../../state/page-host.ts";
import { startTask } from "../../state/tasks.ts";

const TTLS = ["10m", "1h", "1d", "7d"] as const;

/** A link of the daemon's: it leads to what a guest serves, at an address of its own. */
function PreviewLink({ preview: { url, expiresAt, public: isPublic } }: { preview: Preview }) {
  // a daemon of another version may say anything
  if (!/^https?:\/\//.test(url)) return <Text text={url} />;
  return (
    <span className="row-of">
      <a href={url} target="_blank" rel="noreferrer">
        Open in a new tab
      </a>
      <CopyButton text={url} what="the link" />
      <span className="dim">
        {isPublic ? "for whoever has the address, " : ""}ends <Until time={expiresAt} />
      </span>
    </span>
  );
}

function PreviewOf({ sandbox: { id, name }, port }: { sandbox: Sandbox; port: number }) {
  const [made, setMade] = useState<Preview>();
  const [ttl, setTtl] = useState<string>("1h");
  const args = ["preview", name, String(port), ...(ttl === "1h" ? [] : ["--ttl", ttl])];
  const make = (): Promise<void> =>
    act({
      label: "Make a link",
      title: `Link to port ${port} of ${name}`,
      args,
      run: async () => {
        const preview = await thaw.sandboxes.at(id).previews.create({ port, ttlMs: parseDuration(ttl) });
        setMade(preview);
        return `is good for ${ttl}`;
      },
    });
  const end = (): Promise<void> =>
    act({
      ...{ label: "End links", title: `End links to port ${port} of ${name}` },
      args: ["preview", name, String(port), "--rm"],
      question: {
        title: `End all links to port ${port}?`,
        lines: ["Every link to it that was made so far ends, and public access too."],
        verb: "End links",
      },
      run: async () => {
        await thaw.sandboxes.at(id).previews.end(port);
        setMade(undefined);
        return "no link leads to it";
      },
    });
  return (
    <>
      <span className="row-of">
        {made !== undefined && <PreviewLink preview={made} />}
        <select
          aria-label={`The link to port ${port} is good for`}
          value={ttl}
          onChange={({ target }) => setTtl(target.value)}
        >
          {TTLS.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
        <button type="button" onClick={() => void make()}>
          Make a link
        </button>
        <button type="button" onClick={() => void end()}>
          End links
        </button>
      </span>
      <CommandText args={args} />
    </>
  );
}

/** No event tells of a forward. */
async function refresh(id: string): Promise<void> {
  const { info } = await thaw.sandboxes.get(id);
  pageHost.set((host) => ({ ...host, sandboxes: new Map(host.sandboxes).set(id, info) }));
}

function Forward({ sandbox: { id, name } }: { sandbox: Sandbox }) {
  const [host, setHost] = useState("");
  const [guest, setGuest] = useState("");
  const isPort = (text: string, least: number): boolean =>
    /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= 65_535;
  const isReady = isPort(guest, 1) && (host === "" || isPort(host, 0));
  const args = ["port", name, `${host || "0"}:${guest || "GUEST"}`];
  const add = async (): Promise<void> => {
    if (!isReady) return;
    const isMade = await startTask({
      title: `Forward to ${name}`,
      args,
      run: async () => {
        const forward = await thaw.sandboxes
          .at(id)
          .ports.add({ port: Number(host || 0), guest: Number(guest) });
        await refresh(id);
        return `localhost:${forward.port} leads to port ${forward.guest}`;
      },
    });
    if (!isMade) return;
    setHost("");
    setGuest("");
  };
  const number = (label: string, value: string, set: (text: string) => void, hint: string) => (
    <label className="dim">
      {label}{" "}
      <input
        inputMode="numeric"
        size={6}
        placeholder={hint}
        value={value}
        onChange={({ target }) => set(target.value.trim())}
      />
    </label>
  );
  return (
    <Form className="row-of" submit={add}>
      {number("Port of the host", host, setHost, "any")}
      {number("Port in the sandbox", guest, setGuest, "3000")}
      <button type="submit" disabled={!isReady}>
        Forward
      </button>
      <CommandText args={args} />
    </Form>
  );
}

export function Ports({ sandbox }: { sandbox: Sandbox }) {
  const { id, name, ports, listening } = sandbox;
  const state = useQuery({
    queryKey: ["ports", id, ports, listening],
    queryFn: ({ signal }) => thaw.sandboxes.at(id).ports.state({ signal }),
    staleTime: 0,
    placeholderData: (before) => before,
  });
  if (state.error !== null) return <Failed error={state.error} retry={() => void state.refetch()} />;
  if (state.data === undefined) return <Loading what="ports" />;
  const { forwards } = state.data;
  const open = [
    ...new Set([
      ...listening,
      ...forwards.flatMap(({ guest }) => (typeof guest === "number" ? [guest] : [])),
    ]),
  ];
  const remove = (key: number | string): Promise<void> =>
    act({
      ...{ label: "End", title: `End the forward of ${key}` },
      args: ["port", name, "--rm", String(key)],
      run: async () => {
        await thaw.sandboxes.at(id).ports.remove(key);
        await refresh(id);
        return "nothing listens there";
      },
    });
  return (
    <>
      <h2>In a browser</h2>
      {open.length === 0 ? (
        <p className="dim">Nothing listens in it.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th className="right">Port</th>
              <th>Preview</th>
            </tr>
          </thead>
          <tbody>
            {open
              .sort((a, b) => a - b)
              .map((port) => (
                <tr key={port}>
                  <td className="right">{port}</td>
                  <td className="wide">
                    <PreviewOf sandbox={sandbox} port={port} />
                  </td>
                </tr>
              ))}
          </tbody>
        </table>
      )}
      <h2>Ports of the host</h2>
      {forwards.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>On the host</th>
              <th>In the sandbox</th>
              <th>
                <span className="unseen">End it</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {forwards.map(({ address, port, path, guest, fault }) => (
              <tr key={`${port} ${path}`}>
                <td>
                  <Text className="mono" text={path ?? `${address ?? "localhost"}:${port}`} />
                  {fault !== null && <Text className="bad" text={` ${fault}`} />}
                </td>
                <td>
                  <Text className="mono" text={String(guest)} />
                </td>
                <td>
                  <button type="button" onClick={() => void remove(path ?? port ?? 0)}>
                    End
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Forward sandbox={sandbox} />
    </>
  );
}
