import { pick } from "../../state/search.ts";

/** `label`: `KEY=VALUE`, or `KEY`; `new`: `1` opens the form of a new sandbox, `template` and `snapshot` are what it begins with. */
export const listSearch = (search: Record<string, unknown>) =>
  pick(search, ["q", "state", "from", "label", "new", "template", "snapshot"]);

/** `path`: in Files; `exec`: whose output is shown. */
export const detailSearch = (search: Record<string, unknown>) => pick(search, ["tab", "path", "exec"]);
