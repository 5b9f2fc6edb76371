export { cleanText, stripSequences } from "../../api/clean-text.ts";
