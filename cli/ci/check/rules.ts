import type { Rule } from "./finding.ts";
import { strangersCache } from "./rules/cache.ts";
import { insecureCommands, persistedCredentials } from "./rules/credentials.ts";
import { ourPolicy, ourUnknownInputs } from "./rules/our-action.ts";
import { missingPermissions, writeAll, writesForStrangers } from "./rules/permissions.ts";
import { scriptInjection } from "./rules/script-injection.ts";
import { secrets } from "./rules/secrets.ts";
import { selfHosted } from "./rules/self-hosted.ts";
import { unpinnedActions, unpinnedImages } from "./rules/unpinned.ts";
import { unsafeCheckout, unsafeCheckoutAllowed } from "./rules/unsafe-checkout.ts";

export const rules: readonly Rule[] = [
  unsafeCheckout,
  unsafeCheckoutAllowed,
  secrets,
  writesForStrangers,
  missingPermissions,
  writeAll,
  scriptInjection,
  selfHosted,
  persistedCredentials,
  strangersCache,
  insecureCommands,
  unpinnedActions,
  unpinnedImages,
  ourUnknownInputs,
  ourPolicy,
];
