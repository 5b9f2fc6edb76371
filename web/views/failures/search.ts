import { pick } from "../../state/search.ts";

/** The filters of the list: each is a text of the address. `age`: `1d`; `group`: `fingerprint`, `repository` or `none`. */
export const listSearch = (search: Record<string, unknown>) =>
  pick(search, ["q", "repository", "ref", "pr", "trigger", "fingerprint", "age", "verdict", "group"]);

/** `path`: in Files; `with`: the failure to compare with. */
export const detailSearch = (search: Record<string, unknown>) => pick(search, ["tab", "path", "with"]);
