import type { Capture } from "../../../../client/index.ts";
import type { Row } from "../view.ts";

export interface FailureRow extends Row {
  capture: Capture;
}
