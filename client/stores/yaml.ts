/** Loaded when a policy is read: bundled, a library of the older module format has its names only where it is imported at the top of a file. */
export { parse } from "yaml";
