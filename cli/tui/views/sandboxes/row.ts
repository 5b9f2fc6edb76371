import type { SandboxInfo, Usage } from "../../../../client/index.ts";
import type { Row } from "../view.ts";

export interface SandboxRow extends Row {
  sandbox: SandboxInfo;
  usage: Usage | undefined;
}
