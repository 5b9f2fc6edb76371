/** Filters of a list. They are part of the address, so that a link leads to the same rows. */
import { useNavigate } from "@tanstack/react-router";
import { type ChangeEvent, type ReactNode, useEffect, useRef } from "react";
import { visibleText } from "../../api/clean-text.ts";
import { useNarrow } from "../state/narrow.ts";
import type { Search } from "../state/search.ts";

export interface Choice {
  /** Name in the address. */
  name: string;
  label: string;
  /** Value in the address → what is shown; the first is the default, and not in the address. */
  options: readonly (readonly [value: string, text: string])[];
}

const PAUSE_MS = 100;

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
  const isNarrow = useNarrow();
  const set = (name: string, value: string): void =>
    void navigate({
      to: ".",
      search: ((before: object) => ({ ...before, [name]: value })) as never,
      replace: true,
    });
  return (
    <search className="filters">
      <TextFilter value={search.q ?? ""} set={(value) => set("q", value)} />
      {choices.length > 0 && (
        <details key={String(isNarrow)} className="more" open={!isNarrow}>
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
                    {visibleText(text)}
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

/** The address, and with it the list, follows when somebody pauses to type: while they type, the field is theirs, or letters would be lost. */
function TextFilter({ value, set }: { value: string; set: (value: string) => void }) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    if (field.current !== null && field.current !== document.activeElement) field.current.value = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const onChange = ({ target }: ChangeEvent<HTMLInputElement>): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => set(target.value), PAUSE_MS);
  };
  return (
    <input
      ref={field}
      data-filter
      type="search"
      aria-label="Filter"
      placeholder="Filter"
      defaultValue={value}
      onChange={onChange}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
    />
  );
}
