/** The views, in the order of the dashboard. */
import type { HostState } from "../../client/follow/state.ts";

export interface ViewLink {
  to: "/sandboxes" | "/failures" | "/snapshots" | "/templates" | "/hosts";
  title: string;
  count: (host: HostState) => number;
}

export const VIEWS: readonly ViewLink[] = [
  { to: "/sandboxes", title: "Sandboxes", count: ({ sandboxes }) => sandboxes.size },
  { to: "/failures", title: "Failures", count: ({ captures }) => captures.size },
  { to: "/snapshots", title: "Snapshots", count: ({ snapshots }) => snapshots.size },
  { to: "/templates", title: "Templates", count: ({ templates }) => templates.length },
  { to: "/hosts", title: "Hosts", count: () => 1 },
];
