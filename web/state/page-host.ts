/** The host as the page knows it, for React: a component is drawn anew only when the part that it reads has changed. */
import { useSyncExternalStore } from "react";
import { type HostState, newHost } from "../../client/follow/state.ts";
import { Value } from "./value.ts";

export const pageHost = new Value<HostState>(newHost("local"));

/** A part of the host's state. @param select must give the same object for the same state */
export function useHost<T>(select: (host: HostState) => T): T {
  return useSyncExternalStore(pageHost.subscribe, () => select(pageHost.value));
}
