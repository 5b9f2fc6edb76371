import type { Define } from "../verbs.ts";
export const define: Define = () => {};
