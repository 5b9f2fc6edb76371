/** For the help of verbs that make clones. */
export const RANDOM_NOTE = `
Copies of one memory get fresh random numbers from the kernel (/dev/urandom). A generator inside a running program (OpenSSL's,
Python's random, bash's $RANDOM) draws the same numbers in each copy: seed or restart it, for example by the template's onThaw:
commands, which run in each copy before it is used.`;
