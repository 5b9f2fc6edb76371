import type { SandboxInfo } from "../../../../client/index.ts";
import type { Usage } from "../../state/state.ts";
import type { Row } from "../view.ts";

export interface SandboxRow extends Row {
  sandbox: SandboxInfo;
  usage: Usage | undefined;
}
