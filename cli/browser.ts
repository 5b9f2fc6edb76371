import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Opens a page in the user's browser, which outlives the command.
 * @returns whether there is one: $BROWSER, or a desktop's. Over ssh there is mostly none
 */
export function openInBrowser(url: string): boolean {
  const { BROWSER, DISPLAY, WAYLAND_DISPLAY } = process.env;
  const hasDesktop = Boolean(DISPLAY) || Boolean(WAYLAND_DISPLAY);
  const program = BROWSER || (hasDesktop ? "xdg-open" : undefined);
  if (program === undefined || !isThere(program)) return false;
  spawn(program, [url], { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
  return true;
}

function isThere(program: string): boolean {
  const folders = program.includes("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
