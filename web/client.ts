/** The daemon that this page came from. */
import { Thaw } from "../client/browser.ts";
import { noteReach } from "./state/reach.ts";
import { sessionEnded } from "./state/session.ts";

export const thaw = new Thaw({ onNotAuthenticated: sessionEnded, onReach: noteReach });
