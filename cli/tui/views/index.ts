import type { ViewId } from "../state/state.ts";
import { failures } from "./failures/view.ts";
import { hosts } from "./hosts/view.ts";
import { sandboxes } from "./sandboxes/view.ts";
import { snapshots } from "./snapshots/view.ts";
import { templates } from "./templates/view.ts";
import type { View } from "./view.ts";

/** In the order of their tabs. */
export const views: readonly View[] = [sandboxes, failures, snapshots, templates, hosts];

export function viewOf(id: ViewId): View {
  return views.find((view) => view.id === id) ?? sandboxes;
}
