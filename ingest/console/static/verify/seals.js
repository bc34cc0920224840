// Digests and signatures: by WebCrypto where the browser has it, else by hashes.js and curves.js. COSE_Sign1 on top.

import { COSE_SIGN1, Tagged, decode, encode } from "./cbor.js";
import { ed25519Verifies, p256Verifies } from "./curves.js";
import { sha256 } from "./hashes.js";
import { Malformed, fromHex, hex, joined, numberOf } from "./octets.js";

export const EDDSA = -8n;
export const ES256 = -7n;
const ALGORITHM = 1n;
const KEY_ID = 4n;
const HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;

/** A signature does not fit what it stands under, or its key is not the one it should be. */
export class NotSigned extends Error {}

// The published signature over `envelope_1_signed` of docs/wire.md would do as well; this one is RFC 8032, 7.1, TEST 1.
const PROBE_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const PROBE_SIGNATURE =
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

/** What checks digests and signatures. `subtle` null: without WebCrypto. */
export class Seals {
  constructor(subtle = globalThis.crypto?.subtle ?? null) {
    this.subtle = subtle;
    this.keys = new Map();
    this.edwards = null;
  }

  /** How signatures are checked here, for the reader: "webcrypto", "webcrypto without Ed25519" or "own code". */
  async means() {
    if (this.subtle === null) return "own code";
    return (await this.knowsEdwards()) ? "WebCrypto" : "WebCrypto, Ed25519 by own code";
  }

  async sha256(...parts) {
    const whole = joined(...parts);
    return this.subtle === null ? sha256(whole) : new Uint8Array(await this.subtle.digest("SHA-256", whole));
  }

  /** Whether `signature` is that of a raw public key over `message`. */
  async verifies(algorithm, publicKey, signature, message) {
    if (signature.length !== 64) return false;
    if (algorithm === ES256) {
      // Of the two s that verify only the smaller counts, or anybody could make a second envelope out of one.
      if (publicKey.length !== 65 || numberOf(signature.subarray(32)) > HALF_ORDER) return false;
      if (this.subtle === null) return p256Verifies(publicKey, signature, message);
      return this.byBrowser({ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }, publicKey, signature, message);
    }
    if (algorithm !== EDDSA || publicKey.length !== 32) return false;
    if (!(await this.knowsEdwards())) return ed25519Verifies(publicKey, signature, message);
    return this.byBrowser({ name: "Ed25519" }, { name: "Ed25519" }, publicKey, signature, message);
  }

  async byBrowser(kind, how, publicKey, signature, message) {
    const name = hex(publicKey);
    try {
      if (!this.keys.has(name)) this.keys.set(name, await this.subtle.importKey("raw", publicKey, kind, false, ["verify"]));
      return await this.subtle.verify(how, this.keys.get(name), signature, message);
    } catch {
      return false;
    }
  }

  async knowsEdwards() {
    if (this.edwards === null) {
      const probe = [{ name: "Ed25519" }, { name: "Ed25519" }, fromHex(PROBE_KEY), fromHex(PROBE_SIGNATURE), new Uint8Array()];
      this.edwards = this.subtle !== null && (await this.byBrowser(...probe));
    }
    return this.edwards;
  }

  /** The key id of a raw public key, in hexadecimal digits. */
  async keyId(publicKey) {
    return hex((await this.sha256(publicKey)).subarray(0, 8));
  }

  /** Throws NotSigned unless `message` (see readSigned) is signed with the key of that algorithm. */
  async require(message, algorithm, publicKey) {
    if (message.algorithm !== algorithm) throw new NotSigned("it names another algorithm than its key has");
    if (!(await this.verifies(algorithm, publicKey, message.signature, message.covered))) {
      throw new NotSigned(`the signature is not that of key ${message.keyId}`);
    }
  }
}

/** The algorithm of a raw public key: its length says it. */
export function algorithmOf(publicKey) {
  if (publicKey.length === 32) return EDDSA;
  if (publicKey.length === 65) return ES256;
  throw new Malformed("a public key has 32 octets (Ed25519) or 65 (P-256)");
}

/** The parts of a COSE_Sign1 (RFC 9052, 4.2); nothing of it is proven. Throws Malformed. */
export function readSigned(octets, octetsMax) {
  const message = decode(octets, octetsMax);
  const parts = message instanceof Tagged && message.tag === COSE_SIGN1 ? message.item : null;
  if (!Array.isArray(parts) || parts.length !== 4) throw new Malformed("not a COSE_Sign1");
  const [protectedHeader, unprotected, payload, signature] = parts;
  const areOctets = [protectedHeader, payload, signature].every((part) => part instanceof Uint8Array);
  if (!areOctets || !(unprotected instanceof Map) || unprotected.size) throw new Malformed("not the parts of a COSE_Sign1");
  const header = decode(protectedHeader);
  if (!(header instanceof Map) || header.size !== 2) throw new Malformed("a header with other entries than algorithm and key id");
  const [algorithm, keyId] = [header.get(ALGORITHM), header.get(KEY_ID)];
  if (algorithm !== EDDSA && algorithm !== ES256) throw new Malformed("an algorithm that is not in use here");
  if (!(keyId instanceof Uint8Array) || keyId.length < 1 || keyId.length > 32) throw new Malformed("a key id of 1 to 32 octets is missing");
  const covered = encode(["Signature1", protectedHeader, new Uint8Array(), payload]);
  return { algorithm, keyId: hex(keyId), payload, signature, covered };
}
