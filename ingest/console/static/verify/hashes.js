// SHA-256 and SHA-512 (FIPS 180-4) for browsers that offer none: WebCrypto is missing on plain http beyond this machine.
//
// Both are one algorithm in two widths. Its constants are roots of the first primes, worked out here instead of listed:
// a wrong digit in a list of a hundred would be hard to see.

import { bigEndian, joined } from "./octets.js";

const PRIMES = [];
for (let number = 2; PRIMES.length < 80; number += 1) {
  if (PRIMES.every((prime) => number % prime)) PRIMES.push(number);
}

/** The largest whole number whose `power`-th power is at most `number`. */
function rootOf(number, power) {
  let low = 0n;
  let high = 1n << 80n;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** power <= number) low = middle;
    else high = middle;
  }
  return low;
}

const MASK = (1n << 64n) - 1n;
const STARTS = PRIMES.slice(0, 8).map((prime) => rootOf(BigInt(prime) << 128n, 2n) & MASK);
const ROUNDS = PRIMES.map((prime) => rootOf(BigInt(prime) << 192n, 3n) & MASK);

const NARROW = {
  starts: Uint32Array.from(STARTS, (one) => Number(one >> 32n)),
  rounds: Uint32Array.from(ROUNDS.slice(0, 64), (one) => Number(one >> 32n)),
};

function padded(octets, block) {
  const lengthOctets = block / 8;
  const rest = (octets.length + 1 + lengthOctets) % block;
  const fill = new Uint8Array(1 + ((block - rest) % block));
  fill[0] = 0x80;
  return joined(octets, fill, bigEndian(octets.length * 8, lengthOctets));
}

const turned = (word, by) => (word >>> by) | (word << (32 - by));

/** SHA-256 of octets. */
export function sha256(octets) {
  const message = padded(octets, 64);
  const view = new DataView(message.buffer);
  const state = Uint32Array.from(NARROW.starts);
  const words = new Uint32Array(64);
  for (let block = 0; block < message.length; block += 64) {
    for (let at = 0; at < 16; at += 1) words[at] = view.getUint32(block + 4 * at);
    for (let at = 16; at < 64; at += 1) {
      const [early, late] = [words[at - 15], words[at - 2]];
      const low = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
      const high = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
      words[at] = words[at - 16] + low + words[at - 7] + high;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let at = 0; at < 64; at += 1) {
      const choice = (e & f) ^ (~e & g);
      const most = (a & b) ^ (a & c) ^ (b & c);
      const first = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + choice + NARROW.rounds[at] + words[at]) | 0;
      const second = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + most) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, at) => { state[at] += word; });
  }
  return joined(...Array.from(state, (word) => bigEndian(word, 4)));
}

const turnedWide = (word, by) => ((word >> by) | (word << (64n - by))) & MASK;

/** SHA-512 of octets; slow, and only ever asked for a few hundred octets. */
export function sha512(octets) {
  const message = padded(octets, 128);
  const view = new DataView(message.buffer);
  const state = STARTS.slice();
  for (let block = 0; block < message.length; block += 128) {
    const words = Array.from({ length: 16 }, (_, at) => view.getBigUint64(block + 8 * at));
    for (let at = 16; at < 80; at += 1) {
      const [early, late] = [words[at - 15], words[at - 2]];
      const low = turnedWide(early, 1n) ^ turnedWide(early, 8n) ^ (early >> 7n);
      const high = turnedWide(late, 19n) ^ turnedWide(late, 61n) ^ (late >> 6n);
      words.push((words[at - 16] + low + words[at - 7] + high) & MASK);
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let at = 0; at < 80; at += 1) {
      const choice = (e & f) ^ (~e & MASK & g);
      const most = (a & b) ^ (a & c) ^ (b & c);
      const mixed = turnedWide(e, 14n) ^ turnedWide(e, 18n) ^ turnedWide(e, 41n);
      const first = (h + mixed + choice + ROUNDS[at] + words[at]) & MASK;
      const second = ((turnedWide(a, 28n) ^ turnedWide(a, 34n) ^ turnedWide(a, 39n)) + most) & MASK;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) & MASK, c, b, a, (first + second) & MASK];
    }
    [a, b, c, d, e, f, g, h].forEach((word, at) => { state[at] = (state[at] + word) & MASK; });
  }
  return joined(...state.map((word) => bigEndian(word, 8)));
}
