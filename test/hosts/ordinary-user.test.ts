/** An ordinary user of Debian 13: no root, packages installed, ranges in /etc/subuid, a Rust toolchain in the home folder. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeThere, succeeds } from "./debian13.ts";

const PROLOGUE = `set -e -o pipefail
export NO_COLOR=1 NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
cd /thaw
thaw() { node_modules/.bin/node dist/thaw.mjs "$@"; }
`;
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
/** Runs a script as the user, whose checkout it is meanwhile, with her login's environment and nothing else. */
const asAnn = (script: string): string => `runuser --login ann --command ${quoted(PROLOGUE + script)}`;

describeThere("an ordinary user", () => {
  beforeAll(async () => {
    await succeeds(`
      apt-get install -y -qq --no-install-recommends uidmap >/dev/null
      useradd --create-home --shell /bin/bash ann
      mkdir -p /home/ann/.cargo/bin
      mv /usr/bin/cargo /usr/bin/rustc /home/ann/.cargo/bin/
      chown -R ann: /home/ann /thaw`);
  });
  afterAll(async () => {
    await succeeds(
      "mv /home/ann/.cargo/bin/* /usr/bin/; chown -R root: /thaw; userdel ann; rm -rf /home/ann",
    );
  });

  test("the quickstart: her own Rust, a template without root, a jail by user namespace", async () => {
    const out = await succeeds(asAnn("npm run --silent quickstart"));
    expect(out).toMatch(/✓ jail +a user namespace, no network, seccomp on/);
    expect(out).toMatch(/✓ templates +made without root/);
    expect(out).toMatch(/^Linux \S+-cloud-amd64$/m);
    expect(out).toMatch(/✓ state +\d.* in \/home\/ann\/.local\/state\/thaw/);
  });

  test("capture and replay, fork and freeze; a machine has her uid and no rights", async () => {
    const out = await succeeds(
      asAnn(`
      thaw run --capture on-failure -- sh -c 'echo captured > /dev/shm/mark; exit 3' || [ $? = 3 ]
      thaw replay latest --level memory -- cat /dev/shm/mark
      thaw create --name one >&2
      thaw ls | grep -o 'emulated (jailed)\\|kvm'
      status=/proc/$(pgrep -u ann --full '^/usr/bin/qemu-system-x86_64')/status
      [ "$(awk '/^Uid:/ { print $2 }' $status)" = "$(id -u)" ] && grep CapEff $status
      thaw exec one -- sh -c 'echo forked > /dev/shm/mark'
      thaw fork one --name two >&2
      thaw exec two-1 -- cat /dev/shm/mark
      thaw freeze one one:frozen >&2
      thaw run --snapshot one:frozen -- cat /dev/shm/mark
      thaw rm --all >&2`),
    );
    expect(out.split("\n")).toEqual([
      "captured",
      expect.stringMatching(/^(emulated \(jailed\)|kvm)$/),
      "CapEff:\t0000000000000000",
      "forked",
      "forked",
    ]);
  });

  test("no ranges of ids, no newuidmap: the doctor and the build say which, and what to type", async () => {
    const tried = asAnn(
      "export THAW_HOME=~/empty; thaw doctor || true; thaw template build base --force 2>&1 || echo exit $?",
    );
    const out = await succeeds(`
      sed -i.kept /^ann:/d /etc/subuid; ${tried}; mv /etc/subuid.kept /etc/subuid
      echo ---; chmod -x /usr/bin/newuidmap; ${tried}; chmod +x /usr/bin/newuidmap`);
    const [ranges, mapper] = out.split("---\n");
    const both = (reason: RegExp, hint: string): RegExp =>
      new RegExp(
        `✗ templates +templates can't be built without root: ${reason.source}\\n +→ ${hint}[\\s\\S]*` +
          `templates can't be built without root: ${reason.source}[\\s\\S]*hint: ${hint}[\\s\\S]*exit 125`,
      );
    expect(ranges).toMatch(
      both(/ann has fewer than 65536 ids in \/etc\/subuid/, "sudo usermod --add-subuids"),
    );
    expect(mapper).toMatch(both(/newuidmap and newgidmap are not installed/, "apt-get install uidmap"));
  });
});
