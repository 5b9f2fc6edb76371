import { expect, test } from "vitest";
import { describeEvent } from "../../api/describe-event.ts";
import { formatCommand } from "../../api/ending.ts";
import { LOGIN_SHELL } from "../../api/own-commands.ts";
import { planSshServer } from "../../cli/ssh-proxy/server.ts";

test("a command is shown as it was given; scripts of thaw's own go by what they are for", () => {
  expect(formatCommand(["sh", "-c", "npm test"])).toBe("sh -c 'npm test'");
  expect(formatCommand(LOGIN_SHELL)).toBe("login shell");
  expect(formatCommand(planSshServer("ssh-ed25519 AAAA").argv)).toBe("ssh connection");
  expect(describeEvent({ details: { argv: [...LOGIN_SHELL] } })).toBe("login shell");
});
