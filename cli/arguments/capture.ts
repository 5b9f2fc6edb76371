import { parseCapturePolicy } from "../../api/capture-policy.ts";
import { checked } from "./checked.ts";

/** `on-failure`, `always`, `never`, or triggers such as `timeout,oom`. */
export const parseCapture = checked(parseCapturePolicy);
