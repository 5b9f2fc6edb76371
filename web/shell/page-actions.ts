/** What can be done on the page that is open: the keys and the palette start it too. */
import { useEffect } from "react";
import type { Action } from "../parts/command.tsx";
import { Value } from "../state/value.ts";

export const pageActions = new Value<readonly Action[]>([]);

/** @param actions the same array as long as nothing about them changes */
export function usePageActions(actions: readonly Action[]): void {
  useEffect(() => {
    pageActions.set(() => actions);
    return () => pageActions.set((now) => (now === actions ? [] : now));
  }, [actions]);
}
