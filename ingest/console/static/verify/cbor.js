// CBOR in its one deterministic form (RFC 8949, 4.2.1): what is not in that form is refused, not read.
//
// Whole numbers become BigInt, maps become Map. Floats, undefined and tags other than 18 (COSE_Sign1), 2 and 3 (numbers
// beyond 64 bits) stand in none of the documents, so they are refused as well.

import { Malformed, bigEndian, hex, joined, numberOf, ordered, textOf, utf8 } from "./octets.js";

const UNSIGNED = 0;
const NEGATIVE = 1;
const OCTETS = 2;
const TEXTS = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const SIMPLE = 7;
const SIMPLES = new Map([[20, false], [21, true], [22, null]]);
const POSITIVE_BIG = 2;
const NEGATIVE_BIG = 3;
const NESTING_MAX = 16;
const MAX_64 = (1n << 64n) - 1n;

export const COSE_SIGN1 = 18;

/** A tagged item. */
export class Tagged {
  constructor(tag, item) {
    this.tag = tag;
    this.item = item;
  }
}

class Reader {
  constructor(octets) {
    this.octets = octets;
    this.at = 0;
  }

  take(length) {
    if (length > this.octets.length - this.at) throw new Malformed("CBOR that ends too early");
    this.at += length;
    return this.octets.subarray(this.at - length, this.at);
  }

  /** The major type and the argument of an item, whose shortest form is the only one. */
  head() {
    const [first] = this.take(1);
    const major = first >> 5;
    const short = first & 31;
    if (short < 24) return [major, BigInt(short), short];
    if (short > 27 || major === SIMPLE) throw new Malformed("CBOR of an indefinite length, or with a float");
    const length = 1 << (short - 24);
    const argument = numberOf(this.take(length));
    const least = short === 24 ? 24n : 1n << BigInt(4 * length);
    if (argument < least) throw new Malformed("CBOR whose number is not in its shortest form");
    return [major, argument, short];
  }

  length(argument) {
    if (argument > BigInt(this.octets.length - this.at)) throw new Malformed("CBOR that ends too early");
    return Number(argument);
  }

  item(depth) {
    if (depth > NESTING_MAX) throw new Malformed("CBOR that is nested too deep");
    const [major, argument, short] = this.head();
    switch (major) {
      case UNSIGNED: return argument;
      case NEGATIVE: return -1n - argument;
      case OCTETS: return this.take(this.length(argument));
      case TEXTS: return textOf(this.take(this.length(argument)));
      case ARRAY: return Array.from({ length: this.length(argument) }, () => this.item(depth + 1));
      case MAP: return this.map(this.length(argument), depth + 1);
      case TAG: return this.tagged(Number(argument), depth + 1);
      default:
        if (!SIMPLES.has(short)) throw new Malformed("CBOR with a value of no known kind");
        return SIMPLES.get(short);
    }
  }

  map(length, depth) {
    const map = new Map();
    let before = null;
    for (let count = 0; count < length; count += 1) {
      const start = this.at;
      const key = this.item(depth);
      const octets = this.octets.subarray(start, this.at);
      if (before !== null && ordered(before, octets) >= 0) throw new Malformed("CBOR whose keys are not in order, each once");
      before = octets;
      map.set(key, this.item(depth));
    }
    return map;
  }

  tagged(tag, depth) {
    const item = this.item(depth);
    if (tag === COSE_SIGN1) return new Tagged(tag, item);
    if ((tag !== POSITIVE_BIG && tag !== NEGATIVE_BIG) || !(item instanceof Uint8Array)) throw new Malformed("CBOR with an unknown tag");
    const number = numberOf(item);
    if (number <= MAX_64 || item[0] === 0) throw new Malformed("CBOR whose number is not in its shortest form");
    return tag === POSITIVE_BIG ? number : -1n - number;
  }
}

/** The one item that `octets` are; throws Malformed. */
export function decode(octets, octetsMax = 256 * 1024) {
  if (octets.length > octetsMax) throw new Malformed(`${octets.length} octets, which is too many`);
  const reader = new Reader(octets);
  const item = reader.item(0);
  if (reader.at !== octets.length) throw new Malformed("CBOR with octets left over");
  return item;
}

function headOf(major, argument) {
  if (argument < 24n) return Uint8Array.of((major << 5) | Number(argument));
  const power = [0, 1, 2, 3].find((one) => argument < 1n << BigInt(8 << one));
  return joined(Uint8Array.of((major << 5) | (24 + power)), bigEndian(argument, 1 << power));
}

function encodeNumber(number) {
  const [major, magnitude] = number < 0n ? [NEGATIVE, -1n - number] : [UNSIGNED, number];
  if (magnitude <= MAX_64) return headOf(major, magnitude);
  const digits = magnitude.toString(16);
  const octets = bigEndian(magnitude, Math.ceil(digits.length / 2));
  return joined(headOf(TAG, BigInt(major === UNSIGNED ? POSITIVE_BIG : NEGATIVE_BIG)), encode(octets));
}

function encodeMap(map) {
  const entries = [...map].map(([key, item]) => [encode(key), encode(item)]);
  entries.sort(([one], [other]) => ordered(one, other));
  return joined(headOf(MAP, BigInt(map.size)), ...entries.flat());
}

/** The deterministic form of what `decode` gives. */
export function encode(item) {
  if (typeof item === "bigint") return encodeNumber(item);
  if (typeof item === "string") {
    const octets = utf8(item);
    return joined(headOf(TEXTS, BigInt(octets.length)), octets);
  }
  if (item instanceof Uint8Array) return joined(headOf(OCTETS, BigInt(item.length)), item);
  if (Array.isArray(item)) return joined(headOf(ARRAY, BigInt(item.length)), ...item.map(encode));
  if (item instanceof Map) return encodeMap(item);
  for (const [code, value] of SIMPLES) {
    if (value === item) return Uint8Array.of((SIMPLE << 5) | code);
  }
  throw new Malformed(`nothing that is written here: ${hex(utf8(String(item)))}`);
}
