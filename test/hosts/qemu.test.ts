/** QEMUs that come and go on one host: upgraded under running machines, gone, two at once, incomplete. Real builds, that of Debian 13 altered. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeThere, succeeds } from "./debian13.ts";

const QEMU = "/usr/bin/qemu-system-x86_64";
/** Ahead of /usr/bin on the PATH. */
const LOCAL = "/usr/local/bin/qemu-system-x86_64";
/** What an update of Debian's package changes: the revision, in `--version` and on QMP. */
const UPGRADE = `
  revision=$(${QEMU} --version | grep -o 'deb13u[0-9]' | head -n1)
  newer=deb13u$(((\${revision#deb13u} + 1) % 10))
  sed "s/$revision/$newer/g" ${QEMU} > ${QEMU}.new
  chmod 755 ${QEMU}.new
  cp -a ${QEMU} /root/qemu.kept
  mv ${QEMU}.new ${QEMU}`;
const DOWNGRADE = `mv /root/qemu.kept ${QEMU}`;

/** A QEMU that says what `script`, a filter of its stdout, makes of it, and is Debian's otherwise. */
const altered = (script: string): string => `
  cat > ${LOCAL} <<'END'
#!/bin/sh
case "$*" in
  *stdio | "-M help") ${QEMU} "$@" | ${script} ;;
  *) exec ${QEMU} "$@" ;;
esac
END
  chmod 755 ${LOCAL}`;

describeThere("QEMU", () => {
  beforeAll(async () => {
    await succeeds("thaw template build base");
  });
  afterAll(async () => {
    await succeeds(`rm -f ${LOCAL}; [ ! -e /root/qemu.kept ] || { ${DOWNGRADE}; }`);
  });

  test("is upgraded under running machines: they go on, fork and are captured; the daemon need not be started again", async () => {
    const out = await succeeds(`
      thaw create --name old >&2
      thaw exec old -- sh -c 'echo of-old > /dev/shm/mark'
      thaw fork old --name before 2>&1 | grep -o 'difference.*' >&2
      ${UPGRADE}
      thaw doctor | grep -o 'qemu .*'
      thaw exec old -- cat /dev/shm/mark
      thaw fork old --name child 2>&1 | grep -o 'not possible on this host, so a full snapshot was made: .*'
      thaw exec child-1 -- cat /dev/shm/mark
      thaw capture create old >&2
      thaw replay latest --level memory -- cat /dev/shm/mark
      thaw fork child-1 --name grandchild 2>&1 | grep -c 'not on this host' || true
      thaw exec grandchild-1 -- cat /dev/shm/mark
      kill -9 $(thaw daemon status --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).pid')
      thaw exec old -- cat /dev/shm/mark
      thaw run --capture on-failure -- sh -c 'echo of-newer > /dev/shm/mark; echo kept > /root/kept; sync; exit 3' >&2 || [ $? = 3 ]
      thaw replay latest --level memory -- cat /dev/shm/mark
      thaw doctor | grep -E "^ . (jail|thaw|fork) "
      thaw rm --all >&2
      echo ---
      ${DOWNGRADE}
      thaw capture check latest --json
      thaw replay latest -- cat /root/kept
      thaw rm --all >&2`);
    const [upgraded = "", gone = ""] = out.split("---\n");
    const [doctor, old, reason, child, whole, again, grandchild, adopted, captured, ...proven] =
      upgraded.split("\n");
    const versions = String.raw` at \S+Z with QEMU 10\.\S+, Linux \S+`;
    expect(proven.join("\n")).toMatch(
      new RegExp(
        `jail .*tested${versions}\n.*thaw .*restored${versions}, emulated.*\n.*fork .*thawing one${versions}`,
      ),
    );
    expect(doctor).toMatch(/^qemu .*10\./);
    expect(reason).toMatch(
      /it runs under QEMU emulator version .*deb13u\d.*and this host has .*deb13u\d.* now/,
    );
    expect([old, child, whole, again, grandchild, adopted, captured]).toEqual([
      ...["of-old", "of-old", "of-old", "0", "of-old", "of-old", "of-newer"],
    ]);
    const check = JSON.parse(gone.slice(0, gone.lastIndexOf("}") + 1));
    expect(check.best).toBe("disk");
    expect(check.levels[0].reasons).toEqual([expect.stringMatching(/only that build resumes it/)]);
    expect(gone).toMatch(/\nkept$/);
  });

  test("two on one host: the first on the daemon's PATH is used, and named", async () => {
    const out = await succeeds(`
      cp ${QEMU} ${LOCAL}; thaw doctor | grep ' qemu '
      thaw run -- true
      rm ${LOCAL}; thaw doctor | grep ' qemu '
      mkdir -p /opt/other; cp ${QEMU} /opt/other/; thaw daemon stop >&2
      PATH=/opt/other:$PATH; hash -r; thaw doctor | grep -A1 ' qemu ' || true`);
    expect(out).toMatch(
      new RegExp(
        `qemu .*, ${LOCAL}\\n.*qemu .*, ${QEMU}\\n.*qemu +/opt/other/qemu-system-x86_64 is outside /usr`,
      ),
    );
  });

  test("one that lacks a device, a capability or a machine type is refused with the names", async () => {
    const out = await succeeds(`
      ${altered(`sed -u 's/"pvpanic-pci"/"x"/g; s/"x-ignore-shared"/"y"/g'`)}
      thaw doctor | grep -A1 ' qemu ' || true
      thaw run -- true 2>&1 || echo "exit $?"
      echo ---
      ${altered("grep --line-buffered -v q35")}
      thaw doctor | grep ' qemu ' || true
      echo ---
      ${altered(`grep --line-buffered -v "$(${QEMU} -M help | grep -o '^pc-q35-[0-9.]*' | sort -V | tail -n1)"`)}
      thaw run --snapshot base -- cat /etc/hostname 2>&1 | tr -d '\\r'`);
    const [parts, none, machine] = out.split("---\n");
    const named = `${LOCAL} \\(QEMU .*\\) lacks migration capability x-ignore-shared, device pvpanic-pci`;
    expect(parts).toMatch(new RegExp(`✗ qemu +${named}\\n +→ [\\s\\S]*${named}[\\s\\S]*exit 125`));
    expect(none).toMatch(/✗ qemu .*is not a QEMU with q35 machines/);
    expect(machine).toMatch(/it needs machine type pc-q35-10\.0, this host's newest is pc-q35-9\.2/);
  });
});
