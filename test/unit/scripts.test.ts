/** The checkout's own scripts: which Rust they take, and how they count. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync("/tmp/thaw-scripts-");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("the Rust toolchain", () => {
  function toolchain(folder: string, version: string): void {
    mkdirSync(join(dir, folder), { recursive: true });
    writeFileSync(join(dir, folder, "cargo"), `#!/bin/sh\necho "cargo ${version}"\n`, { mode: 0o755 });
  }
  const chosen = async (environment: Record<string, string> = {}): Promise<string> => {
    const script = '. scripts/rust.sh; command -v cargo; rust_is_fine && echo "fine for $needed_rust"';
    const { stdout } = await execa("bash", ["-uc", script], {
      reject: false,
      extendEnv: false,
      env: { HOME: dir, PATH: `${dir}/system:/bin`, ...environment },
    });
    return stdout.replaceAll(dir, "");
  };
  const needed = /^rust-version = "(.*)"/m.exec(readFileSync("guest/Cargo.toml", "utf8"))?.[1];

  test("the system's is taken when it is new enough", async () => {
    toolchain("system", "1.99.0 (x 2030-01-01)");
    toolchain(".cargo/bin", "1.98.0");
    expect(await chosen()).toBe(`/system/cargo\nfine for ${needed}`);
  });

  test("else the user's own, wherever rustup put it", async () => {
    toolchain("system", "1.63.0");
    toolchain(".cargo/bin", "1.98.0");
    expect(await chosen()).toBe(`/.cargo/bin/cargo\nfine for ${needed}`);
    toolchain("elsewhere/bin", "1.97.0");
    expect(await chosen({ CARGO_HOME: `${dir}/elsewhere` })).toBe(`/elsewhere/bin/cargo\nfine for ${needed}`);
  });

  test("one that is too old is not fine; without a home nothing is looked for", async () => {
    toolchain("system", "1.63.0");
    expect(await chosen()).toBe("/system/cargo");
    expect(await chosen({ HOME: "" })).toBe("/system/cargo");
  });

  test("both crates need the same", () => {
    expect(readFileSync("runners/native/Cargo.toml", "utf8")).toContain(`rust-version = "${needed}"`);
  });
});

describe("the bootstrap, on a host whose packages it does not install", () => {
  /** A host with the tools that the script itself uses, and no others. */
  const bootstrap = async (release: string, ...tools: string[]) => {
    mkdirSync(join(dir, "bin"));
    for (const tool of ["bash", "cut", "dirname", "head", "id", "sed", "sort", "tr"])
      symlinkSync(`/usr/bin/${tool}`, join(dir, "bin", tool));
    for (const tool of tools) writeFileSync(join(dir, "bin", tool), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(dir, "os-release"), release);
    return execa("/bin/bash", ["scripts/bootstrap.sh"], {
      reject: false,
      extendEnv: false,
      env: { HOME: dir, PATH: join(dir, "bin"), OS_RELEASE: join(dir, "os-release") },
    });
  };

  test.each([
    ["Fedora", "ID=fedora\n", /sudo dnf install qemu-system-x86-core .*glibc-static/],
    ["a relative of Fedora", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', /sudo dnf install/],
    ["Arch", "NAME=Arch\nID=arch\n", /sudo pacman -S qemu-system-x86 [\s\S]*AUR/],
    ["another", "ID=void\n", /by the names they have here: .*qemu-system-x86/],
    ["one that does not say", "", /by the names they have here/],
  ])("%s: the packages by their names there, said to be unproven", async (_name, release, names) => {
    // Its dpkg is there for dpkg-deb, and knows nothing of what is installed.
    const { exitCode, stderr, stdout } = await bootstrap(release, "dpkg-query");
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(names);
    expect(stderr).toMatch(/where thaw is unproven[\s\S]*Rust 1\.85 or newer/);
  });
});

describe("counting", () => {
  const count = () => execa(process.execPath, ["scripts/count-tests.ts", dir], { reject: false });
  const vitest = (passed: number, failed: number, pending: number, results: object[] = []) =>
    JSON.stringify({
      numPassedTests: passed,
      numFailedTests: failed,
      numPendingTests: pending,
      testResults: results,
    });

  test("reports of several suites are added up in one line", async () => {
    writeFileSync(join(dir, "one.json"), vitest(3, 0, 1));
    writeFileSync(join(dir, "two.json"), vitest(2, 0, 0));
    writeFileSync(
      join(dir, "cargo.txt"),
      "test result: ok. 4 passed; 0 failed; 1 ignored;\ntest result: ok. 1 passed; 0 failed; 0 ignored;",
    );
    expect(await count()).toMatchObject({ stdout: "10 passed, 0 failed, 2 skipped", exitCode: 0 });
  });

  test("a suite that wrote no report has failed; so has a file that could not be loaded", async () => {
    const file = { name: join(process.cwd(), "test/a.test.ts"), status: "failed", message: "no such module" };
    writeFileSync(join(dir, "one.json"), vitest(3, 0, 0, [{ ...file, assertionResults: [] }]));
    writeFileSync(join(dir, "two.json"), "");
    const { stdout, exitCode } = await count();
    expect(stdout).toBe("FAILED test/a.test.ts\nno such module\n3 passed, 2 failed, 0 skipped");
    expect(exitCode).toBe(1);
  });

  test("what failed is told before the sum, with its reason, and not at any length", async () => {
    const passed = { status: "passed", fullName: "fine" };
    const failed = {
      status: "failed",
      fullName: "a > b",
      failureMessages: [`\u001b[31mno\n${"x".repeat(9000)}`],
    };
    const skipped = { status: "pending", fullName: "skipped by its hook" };
    const files = [
      { name: "a.test.ts", status: "failed", message: "", assertionResults: [passed, failed] },
      { name: "b.test.ts", status: "failed", message: "its hook failed", assertionResults: [skipped] },
    ];
    writeFileSync(join(dir, "one.json"), vitest(1, 1, 1, files));
    writeFileSync(
      join(dir, "cargo.txt"),
      "---- frame::tests::short stdout ----\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;",
    );
    const { stdout } = await count();
    expect(stdout).toMatch(/^FAILED cargo: frame::tests::short\nFAILED a\.test\.ts: a > b\nno\nx+ …\n/);
    expect(stdout).toMatch(/FAILED b\.test\.ts\nits hook failed\n1 passed, 3 failed, 1 skipped$/);
    expect(stdout.length).toBeLessThan(3000);
  });

  test("nothing ran: that is a failure", async () => {
    expect(await count()).toMatchObject({ stdout: "0 passed, 0 failed, 0 skipped", exitCode: 1 });
  });
});
