import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import type { Capture } from "../../../api/capture.ts";
import { lineageOf, type Relative } from "../../../client/follow/lineage.ts";
import { Text } from "../../parts/text.tsx";
import { useHost } from "../../state/page-host.ts";

function Name({ node: { text, kind, id, isThis } }: { node: Relative }) {
  if (isThis === true) return <strong aria-current="true">{text}</strong>;
  const name = <Text text={text} />;
  if (id === undefined) return name;
  if (kind === "template")
    return (
      <Link to="/templates/$name" params={{ name: id }}>
        {name}
      </Link>
    );
  const to = kind === "sandbox" ? "/sandboxes/$id" : kind === "snapshot" ? "/snapshots/$id" : "/failures/$id";
  return (
    <Link to={to} params={{ id }}>
      {name}
    </Link>
  );
}

function Tree({ nodes }: { nodes: readonly Relative[] }) {
  if (nodes.length === 0) return null;
  return (
    <ul className="tree">
      {nodes.map((node) => (
        <li key={`${node.kind} ${node.text}`}>
          <Name node={node} /> {node.note !== undefined && <Text className="dim" text={node.note} />}
          <Tree nodes={node.children} />
        </li>
      ))}
    </ul>
  );
}

export function Lineage({ capture }: { capture: Capture }) {
  const sandboxes = useHost((host) => host.sandboxes);
  const captures = useHost((host) => host.captures);
  const snapshots = useHost((host) => host.snapshots);
  const root = useMemo(
    () => lineageOf(capture, { sandboxes, captures, snapshots }),
    [capture, sandboxes, captures, snapshots],
  );
  return <Tree nodes={[root]} />;
}
