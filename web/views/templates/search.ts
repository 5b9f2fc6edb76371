import { pick } from "../../state/search.ts";

export const listSearch = (search: Record<string, unknown>) => pick(search, ["q", "built"]);
export const detailSearch = (search: Record<string, unknown>) => pick(search, ["tab"]);
