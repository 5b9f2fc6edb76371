import * as api from "../../api/duration.ts";
import { checked } from "./checked.ts";

/** Parses `500ms`, `2s`, `1.5m`, `1h`, `1h30m`. @returns milliseconds, between 1 and a year's. */
export const parseDuration = checked(api.parseDuration);
