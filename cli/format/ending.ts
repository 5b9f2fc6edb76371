export {
  formatCapturedEnd,
  formatCommand,
  formatEnd,
  formatExecState,
  formatTrigger,
  quoteWord,
} from "../../api/ending.ts";
