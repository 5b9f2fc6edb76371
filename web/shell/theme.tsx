import { useState } from "react";

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const KEY = "thaw-theme";

function read(): Theme {
  const saved = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === saved) ?? "system";
}

export function applyTheme(theme: Theme = read()): void {
  document.documentElement.dataset.theme = theme;
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(read);
  const choose = (next: Theme): void => {
    localStorage.setItem(KEY, next);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <select
      aria-label="Colours"
      value={theme}
      onChange={(event) => choose(event.target.value as Theme)}
      className="theme"
    >
      {THEMES.map((each) => (
        <option key={each}>{each}</option>
      ))}
    </select>
  );
}
