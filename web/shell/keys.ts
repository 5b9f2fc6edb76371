/** Keys of the page: those of the dashboard where they make sense in a browser. */
import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { act } from "../parts/command.tsx";
import { Value } from "../state/value.ts";
import { pageActions } from "./page-actions.ts";
import { VIEWS } from "./views.ts";

/** What is open over the page. */
export const overlay = new Value<"palette" | "help" | undefined>(undefined);

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, .xterm, dialog") !== null;
}

export function useKeys(): void {
  const navigate = useNavigate();
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key === "k" && (event.metaKey || event.ctrlKey)) {
        if (event.target instanceof HTMLElement && event.target.closest(".xterm") !== null) return;
        event.preventDefault();
        overlay.set((now) => (now === "palette" ? undefined : "palette"));
        return;
      }
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target)) return;
      const view = VIEWS[Number(event.key) - 1];
      // what has the focus has Enter
      const key = event.key === "Enter" && event.target === document.body ? "return" : event.key;
      const action = pageActions.value.find(({ shortcut }) => shortcut === key);
      const filter = document.querySelector<HTMLInputElement>("[data-filter]");
      // the list has the keys once one of its rows has the focus
      const row = document.querySelector<HTMLElement>("[data-index]");
      if (event.key === "?") overlay.set(() => "help");
      else if (event.key === ":") overlay.set(() => "palette");
      else if (event.key === "/" && filter !== null) filter.focus();
      else if (event.key === "j" && row !== null) row.focus();
      else if (view !== undefined) void navigate({ to: view.to });
      else if (action !== undefined) void act(action);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [navigate]);
}
