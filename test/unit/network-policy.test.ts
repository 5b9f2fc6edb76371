import { describe, expect, test } from "vitest";
import { PRESETS } from "../../api/network-presets.ts";
import { HOST_NAME, mistakesIn, parseRule, ruleFor, warningsIn } from "../../api/network-rule.ts";
import { closedReason, unmapped } from "../../engine/network/addresses.ts";
import { extended, noNetwork, Policy } from "../../engine/network/policy.ts";

const policyOf = (allow: string[], deny: string[] = [], mode?: "open" | "audit"): Policy =>
  new Policy(extended(noNetwork(), { allow, deny, mode }, "command line"));
const name = (name: string, port = 443) => ({ name, address: "198.18.0.9", port });
const address = (address: string, port = 443) => ({ name: null, address, port });

describe("rules", () => {
  test.each([
    ["example.com", name("example.com"), true],
    ["example.com", name("example.com", 80), true],
    ["example.com", name("example.com", 22), false],
    ["Example.COM.", name("example.com"), true],
    ["example.com", name("www.example.com"), false],
    ["*.example.com", name("www.example.com"), true],
    ["*.example.com", name("a.b.example.com"), true],
    ["*.example.com", name("example.com"), false],
    ["*.example.com", name("notexample.com"), false],
    ["example.com:22", name("example.com", 22), true],
    ["example.com:22", name("example.com"), false],
    ["example.com:8000-8100,9", name("example.com", 8050), true],
    ["example.com:8000-8100,9", name("example.com", 9), true],
    ["example.com:*", name("example.com", 65_535), true],
    ["bücher.example", name("xn--bcher-kva.example"), true],
    ["10.1.2.0/24:5432", address("10.1.2.7", 5432), true],
    ["10.1.2.0/24:5432", address("10.1.3.7", 5432), false],
    ["10.1.2.0/24:5432", name("db.example", 5432), false],
    ["10.1.2.3:*", address("10.1.2.3", 1), true],
    ["[2001:db8::]/32:443", address("2001:db8::1"), true],
    ["host:5432", name(HOST_NAME, 5432), true],
    ["host:5432", name(HOST_NAME, 80), false],
    ["host:5432", address("127.0.0.1", 5432), false],
    ["@npm", name("registry.npmjs.org"), true],
    ["@github", name("github.com", 22), true],
    ["@npm", name("npmjs.org"), false],
  ])("%s, asked for %j: %s", (rule, destination, allowed) => {
    expect(policyOf([rule]).judge(destination).allowed).toBe(allowed);
  });

  test.each([
    ["example.com:0", /a port is/],
    ["example.com:65536", /a port is/],
    ["example.com:", /a port is/],
    ["example.com:9-8", /a port is/],
    ["host", /needs a port/],
    [HOST_NAME, /allowed by host:PORT/],
    ["@nmp", /no preset "@nmp"; the presets are @npm,/],
    ["*", /a rule is/],
    ["*.*.example.com", /a rule is/],
    ["a*.example.com", /a rule is/],
    ["https://example.com/", /a rule is|a port is/],
    ["10.1.2.0/33", /a rule is/],
    ["10.1.2", /a rule is/],
    ["300.1.2.3", /a rule is/],
    ["2001:db8::1", /a rule is|a port is/],
    ["[2001:db8::1", /a rule is|a port is/],
    ["", /not a host name/],
    ["-a.example", /not a host name/],
    ["a_b.example", /not a host name/],
    [`${"a".repeat(64)}.example`, /not a host name/],
    ["two words", /not a host name/],
    ["pаypal.com", /mixes letters of Latin and Cyrillic/],
    ["аррӏе.com", /Cyrillic letters that look like Latin/],
    ["xn--80ak6aa92e.com", /Cyrillic letters that look like Latin/],
  ])("%j is a mistake", (rule, message) => {
    expect(mistakesIn({ allow: [rule] })).toEqual([expect.stringMatching(message)]);
  });

  test("every mistake is told at once; names of one script are none", () => {
    expect(
      mistakesIn({ allow: ["a:0", "münchen.example", "пример.рф"], deny: ["@x", "ok.example"] }),
    ).toHaveLength(2);
  });

  test("wildcards of domains that anybody has names in are warned of", () => {
    expect(
      warningsIn({ allow: ["*.cloudfront.net", "d1.cloudfront.net", "*.example.com", "*.com"] }),
    ).toEqual([expect.stringContaining("*.cloudfront.net"), expect.stringContaining("*.com")]);
  });

  test("every preset's rules are rules, and each has a source", () => {
    for (const { name, rules, source } of PRESETS) {
      expect(mistakesIn({ allow: rules }), name).toEqual([]);
      expect(source).toMatch(/^https:/);
      expect(parseRule(`@${name}`)).toHaveProperty("rules.length", rules.length);
    }
  });

  test("the rule to add", () => {
    expect(ruleFor("example.com", [443, 80])).toBe("example.com");
    expect(ruleFor("example.com", [443, 22])).toBe("example.com:22,443");
    expect(ruleFor("2001:db8::1", [22])).toBe("[2001:db8::1]:22");
    expect(ruleFor(HOST_NAME, [80])).toBe("host:80");
  });
});

describe("verdicts", () => {
  test("deny wins over allow, wherever it was said", () => {
    const policy = new Policy(
      extended(
        extended(noNetwork(), { deny: ["evil.example.com"] }, "config.yaml"),
        { allow: ["*.example.com"] },
        "command line",
      ),
    );
    expect(policy.judge(name("good.example.com"))).toMatchObject({
      allowed: true,
      rule: "*.example.com",
      from: "command line",
      byName: true,
    });
    expect(policy.judge(name("evil.example.com"))).toMatchObject({
      allowed: false,
      rule: "evil.example.com",
      from: "config.yaml",
    });
  });

  test("without a rule the reason names the rule to add", () => {
    expect(policyOf([]).judge(name("registry.npmjs.org")).reason).toBe(
      "registry.npmjs.org:443 is not allowed; allow it with --allow registry.npmjs.org",
    );
    expect(policyOf([]).judge(address("10.0.0.1", 22)).reason).toContain("--allow 10.0.0.1:22");
  });

  test.each(["open", "audit"] as const)(
    "%s allows names and public addresses, and nothing that is closed",
    (mode) => {
      const policy = policyOf([], ["*.evil.example"], mode);
      expect(policy.judge(name("example.com", 22))).toMatchObject({
        allowed: true,
        rule: null,
        byName: false,
      });
      expect(policy.judge(address("93.184.216.34", 80)).allowed).toBe(true);
      expect(policy.judge(address("169.254.169.254", 80))).toMatchObject({
        allowed: false,
        reason: expect.stringContaining("link-local, cloud metadata"),
      });
      expect(policy.judge(name("a.evil.example")).allowed).toBe(false);
      expect(policy.judge(name(HOST_NAME, 80)).allowed).toBe(false);
    },
  );

  test("an address that a name led to is closed unless a rule names it", () => {
    expect(policyOf(["db.example:5432"]).addressFault("10.1.2.3", 5432)).toContain("--allow 10.1.2.3:5432");
    expect(policyOf(["db.example:5432", "10.1.2.0/24:5432"]).addressFault("10.1.2.3", 5432)).toBeNull();
    expect(policyOf(["db.example:5432"]).addressFault("93.184.216.34", 5432)).toBeNull();
    expect(policyOf(["a.example"], ["93.184.216.0/24"]).addressFault("93.184.216.34", 443)).toContain(
      "denied by",
    );
  });
});

test.each([
  "0.0.0.0",
  "10.0.0.1",
  "100.64.0.1",
  "100.100.100.200",
  "127.0.0.1",
  "127.8.8.8",
  "168.63.129.16",
  "169.254.169.254",
  "172.16.0.1",
  "192.168.1.1",
  "198.18.0.9",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "fe80::1",
  "fe80::1%eth0",
  "fd00:ec2::254",
  "fc00::1",
  "ff02::1",
  "2001::1",
  "::ffff:127.0.0.1",
  "::ffff:a00:1",
  "::10.0.0.1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b::10.0.0.1",
  "64:ff9b:1::1",
  "2002:7f00:1::",
  "2002:a9fe:a9fe::1",
  "nonsense",
])("%s is closed", (address) => {
  expect(closedReason(address, new Set())).not.toBeNull();
});

test.each([
  "93.184.216.34",
  "203.0.113.80",
  "100.128.0.1",
  "172.32.0.1",
  "2606:2800:220:1::1",
  "::ffff:93.184.216.34",
  "64:ff9b::5db8:d822",
  "2002:5db8:d822::1",
])("%s is open", (address) => {
  expect(closedReason(address, new Set())).toBeNull();
});

test("addresses of this host's own interfaces are closed", () => {
  expect(closedReason("93.184.216.34", new Set(["93.184.216.34"]))).toBe("an address of this host");
  expect(closedReason("::ffff:93.184.216.34", new Set(["93.184.216.34"]))).toContain(
    "an address of this host",
  );
  expect(unmapped("::ffff:1.2.3.4")).toBe("1.2.3.4");
});
