/** Filters of a list. They are part of the address, so that a link leads to the same rows. */
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Search } from "../state/search.ts";

export interface Choice {
  /** Name in the address. */
  name: string;
  label: string;
  /** Value in the address → what is shown; the first is the default, and not in the address. */
  options: readonly (readonly [value: string, text: string])[];
}

/** Where the filters would take the room of the rows, they are folded. */
const isNarrow = matchMedia("(max-width: 48rem)").matches;

export function FilterBar({
  search,
  choices = [],
  shown,
  all,
  children,
}: {
  search: Search;
  choices?: readonly Choice[];
  /** Rows that the filters leave, of all. */
  shown: number;
  all: number;
  children?: ReactNode;
}) {
  const navigate = useNavigate();
  const set = (name: string, value: string): void =>
    void navigate({ to: ".", search: { ...search, [name]: value } as never, replace: true });
  return (
    <search className="filters">
      <input
        data-filter
        type="search"
        aria-label="Filter"
        placeholder="Filter"
        value={search.q ?? ""}
        onChange={(event) => set("q", event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
      {choices.length > 0 && (
        <details className="more" open={!isNarrow}>
          <summary>Filters</summary>
          {choices.map(({ name, label, options }) => (
            <label key={name}>
              <span>{label}</span>
              <select
                value={search[name] ?? options[0]?.[0]}
                onChange={(event) =>
                  set(name, event.target.value === options[0]?.[0] ? "" : event.target.value)
                }
              >
                {options.map(([value, text]) => (
                  <option key={value} value={value}>
                    {text}
                  </option>
                ))}
              </select>
            </label>
          ))}
        </details>
      )}
      {children}
      <span className="dim" role="status">
        {shown === all ? `${all}` : `${shown} of ${all}`}
      </span>
    </search>
  );
}
