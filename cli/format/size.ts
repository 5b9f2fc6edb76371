export { formatSize } from "../../api/size.ts";
