// Octets and the few ways to write them. Nothing here knows what they mean.

const TEXT = new TextEncoder();
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Something that was read is not what its format says; the text tells a person what. */
export class Malformed extends Error {}

/** Octets of a text in UTF-8. */
export function utf8(text) {
  return TEXT.encode(text);
}

/** The text of UTF-8 octets; throws for anything else, and keeps a byte order mark as the sign it is. */
export function textOf(octets) {
  try {
    return STRICT.decode(octets);
  } catch {
    throw new Malformed("text that is not UTF-8");
  }
}

/** One array after the other. */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Less than 0, 0 or more than 0, by the first octet that differs, then by length. */
export function ordered(one, other) {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at += 1) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}

export function same(one, other) {
  return ordered(one, other) === 0;
}

export function hex(octets) {
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text) {
  const digits = text.replace(/\s+/g, "");
  if (digits.length % 2 || /[^0-9a-fA-F]/.test(digits)) throw new Malformed("not hexadecimal digits");
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

/** Base64 with padding and nothing else; `atob` alone would pass over blanks and missing padding. */
export function fromBase64(text) {
  if (typeof text !== "string" || text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Malformed("not base64");
  const signs = atob(text);
  const octets = new Uint8Array(signs.length);
  for (let at = 0; at < signs.length; at += 1) octets[at] = signs.charCodeAt(at);
  return octets;
}

/** A whole number below 2^(8 x length), big-endian. */
export function bigEndian(number, length) {
  const octets = new Uint8Array(length);
  let rest = BigInt(number);
  for (let at = length - 1; at >= 0; at -= 1) {
    octets[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new Malformed("a number that does not fit its octets");
  return octets;
}

export function numberOf(octets) {
  return octets.length === 0 ? 0n : BigInt(`0x${hex(octets)}`);
}
