/** Has a guest trust the authorities of its host: OpenSSL, GnuTLS and git by Debian's and Fedora's bundles and by hash, Java by its store, Node and Python's requests by variables. */
import { Readable } from "node:stream";
import { paced } from "../../host/pace.ts";
import type { Agent } from "../../runners/agent/agent.ts";
import type { Authority } from "../network/authorities.ts";
import { runGuestStep } from "../templates/guest-step.ts";

const OWN = "/usr/local/share/ca-certificates/thaw-host.crt";
const BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const HASHED_DIR = "/etc/ssl/certs";
const JAVA_STORE = "/etc/ssl/certs/java/cacerts";
const MAX_OF_ONE_HASH = 16;
const MAX_BUNDLE_BYTES = 4 << 20;
const JAVA_MS = 60_000;

/** Variables for its execs. Rejects when the guest does not take them. */
export async function trustAuthorities(
  agent: Agent,
  authorities: readonly Authority[],
): Promise<Record<string, string>> {
  const pem = authorities.map((one) => one.pem).join("");
  const [bundles] = await Promise.all([
    Promise.all(BUNDLES.map((path) => addTo(agent, path, pem))),
    write(agent, OWN, pem),
    // An image without that folder has no OpenSSL to look there.
    addHashed(agent, authorities).catch(() => {}),
  ]);
  await addToJava(agent);
  const bundle = BUNDLES[bundles.indexOf(true)];
  return {
    NODE_EXTRA_CA_CERTS: OWN,
    ...(bundle === undefined ? {} : { REQUESTS_CA_BUNDLE: bundle, PIP_CERT: bundle }),
  };
}

/** `<hash>.<number>`: OpenSSL looks at them from 0 on, up to the first that is not there. What the image has stays. */
async function addHashed(agent: Agent, authorities: readonly Authority[]): Promise<void> {
  for (const { hash, pem } of authorities) {
    if (hash === null) continue;
    for (let number = 0; number < MAX_OF_ONE_HASH; number += 1) {
      const path = `${HASHED_DIR}/${hash}.${number}`;
      const size = await sizeOf(agent, path);
      if (size === null) await write(agent, path, pem);
      // It is this one, from an earlier time.
      if (size === null || size === pem.length) break;
    }
  }
}

/** null: it is not there. */
function sizeOf(agent: Agent, path: string): Promise<number | null> {
  return agent.stat(path).then(
    ({ size }) => size,
    () => null,
  );
}

/** @returns whether the bundle is there */
async function addTo(agent: Agent, path: string, pem: string): Promise<boolean> {
  try {
    const { size, body } = await agent.readFile(path);
    if (size > MAX_BUNDLE_BYTES) {
      body.destroy();
      return true;
    }
    const before = Buffer.concat(await body.toArray()).toString("latin1");
    if (!before.endsWith(pem)) await write(agent, path, `${before.replace(/\n?$/, "\n")}${pem}`);
    return true;
  } catch {
    return false;
  }
}

function write(agent: Agent, path: string, text: string): Promise<void> {
  return agent.writeFile(path, Readable.from([Buffer.from(text, "latin1")]), 0o644);
}

/** Its store has a form of its own, which its own tool writes. */
async function addToJava(agent: Agent): Promise<void> {
  if ((await sizeOf(agent, JAVA_STORE)) === null) return;
  const run = `n=0; d=$(mktemp -d); csplit -s -z -f "$d/c" ${OWN} '/BEGIN CERTIFICATE/' '{*}'
for f in "$d"/c*; do n=$((n+1)); keytool -importcert -noprompt -keystore ${JAVA_STORE} -storepass changeit -alias "thaw-host-$n" -file "$f" || true; done; rm -r "$d"`;
  await runGuestStep(
    agent,
    { name: "Java's trust store", run, env: {} },
    () => {},
    AbortSignal.timeout(paced(JAVA_MS)),
  );
}
