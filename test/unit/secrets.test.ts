import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { Search } from "../../engine/captures/scan.ts";
import { Mask } from "../../engine/secrets/mask.ts";
import { SecretMatcher } from "../../engine/secrets/matcher.ts";
import { sealedSecrets, sealSecrets } from "../../engine/secrets/sealed.ts";
import { shownArgv } from "../../engine/secrets/shown-argv.ts";
import { findTokens } from "../../engine/secrets/tokens.ts";

const matcherOf = (values: Record<string, string>): SecretMatcher => {
  const matcher = SecretMatcher.of(
    sealedSecrets.parse(JSON.parse(JSON.stringify(sealSecrets(null, values)))),
  );
  if (!matcher) throw new Error("nothing to find");
  return matcher;
};
const secretText = fc.string({ minLength: 6, maxLength: 40, unit: fc.constantFrom(..."abAB12=_-") });

test("what is kept of values finds them and does not show them", () => {
  const sealed = sealSecrets(null, { TOKEN: "correct-horse-battery", SHORT: "12345" });
  expect(JSON.stringify(sealed)).not.toContain("horse");
  const matcher = SecretMatcher.of(sealed);
  expect(matcher?.hide("a correct-horse-battery b, 12345")).toBe("a *** b, 12345");
  expect(SecretMatcher.of(sealSecrets(null, { SHORT: "12345" }))).toBeNull();
  const more = sealSecrets(sealed, { OTHER: "another-value" });
  expect(SecretMatcher.of(more)?.hide("another-value correct-horse-battery")).toBe("*** ***");
  expect(sealSecrets(more, { TOKEN: "correct-horse-battery" })).toEqual(more);
});

test("lines of a value, and its base64 wherever it begins", () => {
  const matcher = matcherOf({ KEY: "first line\r\nsecond line\n}\n" });
  expect(matcher.hide("x second line y } z first line")).toBe("x *** y } z ***");
  const token = matcherOf({ TOKEN: "s3cret-value" });
  for (const before of ["", "a", "ab", "abc", "user:"]) {
    const header = Buffer.from(`${before}s3cret-value`).toString("base64");
    expect(token.hide(`Basic ${header}`), before).toContain("***");
  }
});

test("any value in any text is found, wherever it is cut; offsets stay", () => {
  fc.assert(
    fc.property(
      secretText,
      fc.string({ maxLength: 60 }),
      fc.string({ maxLength: 60 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
      (secret, before, after, cuts) => {
        vi.useFakeTimers();
        const text = Buffer.from(`${before}${secret}${after}`);
        const pieces: Buffer[] = [];
        const mask = new Mask(matcherOf({ S: secret }), (_channel, piece) => pieces.push(piece));
        for (let at = 0, cut = 0; at < text.length; cut++) {
          const length = cuts[cut % cuts.length] ?? 1;
          mask.take(1, text.subarray(at, at + length));
          at += length;
        }
        mask.flush();
        vi.useRealTimers();
        const shown = Buffer.concat(pieces);
        expect(shown.length).toBe(text.length);
        expect(shown.includes(secret)).toBe(false);
        expect(shown.toString("latin1").replaceAll("*", "")).toBe(
          [...text.toString("latin1")]
            .filter((letter, index) => letter !== "*" && shown[index] !== 0x2a)
            .join(""),
        );
      },
    ),
  );
});

test("a prompt is not held for long; what fits as far as it goes is; the channels are apart", () => {
  vi.useFakeTimers();
  const shown = { 1: "", 2: "" };
  const mask = new Mask(matcherOf({ S: "hunter2hunter2" }), (channel, piece) => {
    shown[channel] += piece.toString();
  });
  mask.take(1, Buffer.from("name: "));
  expect(shown[1]).toBe("nam");
  vi.advanceTimersByTime(60);
  expect(shown[1]).toBe("name: ");
  mask.take(1, Buffer.from("hunter2"));
  mask.take(2, Buffer.from("hunter2"));
  vi.advanceTimersByTime(150);
  expect(shown).toEqual({ 1: "name: ", 2: "" });
  mask.take(1, Buffer.from("hunter2\n"));
  mask.flush();
  vi.useRealTimers();
  expect(shown).toEqual({ 1: `name: ${"*".repeat(14)}\n`, 2: "hunter2" });
});

test("what was let go too early does not uncover the rest", () => {
  vi.useFakeTimers();
  const shown: Buffer[] = [];
  const mask = new Mask(matcherOf({ S: "hunter2hunter2" }), (_channel, piece) => shown.push(piece));
  mask.take(1, Buffer.from("hu"));
  vi.advanceTimersByTime(60);
  mask.take(1, Buffer.from("nter2hunter2 and on\n"));
  mask.flush();
  vi.useRealTimers();
  expect(Buffer.concat(shown).toString()).toBe(`hu${"*".repeat(12)} and on\n`);
});

test("lines stay lines where a value has several", () => {
  const shown: Buffer[] = [];
  const mask = new Mask(matcherOf({ S: "abcdef\nghijkl" }), (_channel, piece) => shown.push(piece));
  mask.take(1, Buffer.from("abcdef\nghijkl\n"));
  mask.flush();
  expect(Buffer.concat(shown).toString()).toBe("******\n******\n");
});

test("an audit's command has no secret in it", () => {
  const env = { TOKEN: "correct-horse", PLAIN: "not-secret" };
  const argv = ["curl", "-H", "token: correct-horse", "not-secret"];
  expect(shownArgv({ argv, env, mask: ["TOKEN"] })).toEqual(["curl", "-H", "token: ***", "not-secret"]);
  expect(shownArgv({ argv, env })).toEqual(argv);
});

const letters = (count: number): string => "aB3dE5gH7jK9mN1pQrS2tUvWxYz4".repeat(20).slice(0, count);
const TOKENS: Record<string, string> = {
  "github-token": `ghp_${letters(36)}`,
  "gitlab-token": `glpat-${letters(20)}`,
  "aws-key-id": "AKIAQ3EGRZ5LVX7KPMN2",
  "aws-secret-key": `aws_secret_access_key = ${letters(40)}`,
  "slack-token": `xoxb-123456789012-${letters(24)}`,
  "npm-token": `npm_${letters(36)}`,
  "pypi-token": `pypi-AgEIcHlwaS5vcmc${letters(60)}`,
  "stripe-key": `sk_live_${letters(24)}`,
  "google-api-key": `AIza${letters(35)}`,
  "anthropic-key": `sk-ant-api03-${letters(80)}`,
  "openai-key": `sk-proj-${letters(60)}`,
  "age-key": `AGE-SECRET-KEY-1${"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).slice(0, 58)}`,
  "private-key": `-----BEGIN OPENSSH PRIVATE KEY-----\n${letters(64)}\n`,
  jwt: `eyJhbGciOiJIUzI1NiJ9.eyJ${letters(30)}.${letters(43)}`,
};

test.each(Object.entries(TOKENS))("a %s is found by its shape", (kind, token) => {
  const bytes = Buffer.concat([randomBytes(100), Buffer.from(`x ${token} y`), randomBytes(100)]);
  expect([...findTokens(bytes)].map((found) => found.kind)).toEqual([kind]);
});

test("what only begins like a token is none", () => {
  const texts = [
    ...["ghp_short", "npm_config_registry", "AKIAIOSFODNN7EXAMPLE", `ghp_${"x".repeat(36)}`],
    ...["-----BEGIN PRIVATE KEY-----\0-----END", "sk-ant-", "eyJhbGciOiJIUzI1NiJ9", "AGE-SECRET-KEY-1"],
  ];
  for (const text of texts) expect([...findTokens(Buffer.from(text))], text).toEqual([]);
});

test("a search finds what lies across chunks, once, at its place", () => {
  const secret = "correct-horse-battery";
  const places = [5, 65_530, 131_060, 199_000];
  const bytes = Buffer.alloc(200_000, " ");
  for (const place of places) bytes.write(secret, place);
  bytes.write(TOKENS["github-token"] ?? "", 65_600);
  for (const size of [1000, 65_536, 200_000]) {
    const search = new Search(matcherOf({ TOKEN: secret }));
    for (let at = 0; at < bytes.length; at += size) search.take(bytes.subarray(at, at + size));
    expect(search.end(), `chunks of ${size}`).toEqual([
      { kind: "TOKEN", masked: true, count: 4, places },
      { kind: "github-token", masked: false, count: 1, places: [65_600] },
    ]);
  }
});
