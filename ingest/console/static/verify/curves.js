// Signatures on two curves, for browsers whose WebCrypto has none: Ed25519 (RFC 8032) and ECDSA on P-256 (FIPS 186-5).
//
// Only public numbers are worked with, so nothing here has to take the same time for all of them.

import { sha256, sha512 } from "./hashes.js";
import { joined, numberOf, same, bigEndian } from "./octets.js";

const mod = (number, modulus) => {
  const rest = number % modulus;
  return rest < 0n ? rest + modulus : rest;
};

function power(base, exponent, modulus) {
  let [result, factor, rest] = [1n, mod(base, modulus), exponent];
  while (rest > 0n) {
    if (rest & 1n) result = (result * factor) % modulus;
    factor = (factor * factor) % modulus;
    rest >>= 1n;
  }
  return result;
}

const inverse = (number, prime) => power(number, prime - 2n, prime);

/** one x first + other x second, both at once, from the highest bit down. */
function combined(curve, [one, first], [other, second]) {
  const both = curve.add(first, second);
  let sum = curve.zero;
  for (let bit = 256n; bit >= 0n; bit -= 1n) {
    sum = curve.add(sum, sum);
    const [hasOne, hasOther] = [(one >> bit) & 1n, (other >> bit) & 1n];
    if (hasOne && hasOther) sum = curve.add(sum, both);
    else if (hasOne) sum = curve.add(sum, first);
    else if (hasOther) sum = curve.add(sum, second);
  }
  return sum;
}

// Edwards form, extended coordinates [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z; the addition law has no exceptions.

const P = (1n << 255n) - 19n;
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n, P), P);
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n, P);

const EDWARDS = {
  zero: [0n, 1n, 1n, 0n],
  add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
    const a = mod((y1 - x1) * (y2 - x2), P);
    const b = mod((y1 + x1) * (y2 + x2), P);
    const c = mod(2n * D * t1 * t2, P);
    const d = mod(2n * z1 * z2, P);
    const [e, f, g, h] = [b - a, d - c, d + c, b + a];
    return [mod(e * f, P), mod(g * h, P), mod(f * g, P), mod(e * h, P)];
  },
};

const littleEndian = (octets) => numberOf(octets.slice().reverse());

/** The x of a y, of the parity asked for; null where the curve has no such point. */
function edwardsX(y, parity) {
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n, P), P);
  let x = power(square, (P + 3n) / 8n, P);
  if (mod(x * x - square, P) !== 0n) x = mod(x * ROOT_OF_MINUS_ONE, P);
  if (mod(x * x - square, P) !== 0n || (x === 0n && parity)) return null;
  return (x & 1n) === parity ? x : P - x;
}

function edwardsPoint(octets) {
  const number = littleEndian(octets);
  const [y, parity] = [number & ((1n << 255n) - 1n), number >> 255n];
  const x = y < P ? edwardsX(y, parity) : null;
  return x === null ? null : [x, y, 1n, mod(x * y, P)];
}

const BASE_Y = mod(4n * inverse(5n, P), P);
const BASE_X = edwardsX(BASE_Y, 0n);
const BASE = [BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y, P)];

function edwardsOctets([x, y, z]) {
  const back = inverse(z, P);
  const whole = mod(y * back, P) | ((mod(x * back, P) & 1n) << 255n);
  return bigEndian(whole, 32).reverse();
}

/** Whether 64 octets of signature are those of a 32-octet key over a message. */
export function ed25519Verifies(publicKey, signature, message) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const [commitment, answer] = [signature.slice(0, 32), littleEndian(signature.slice(32))];
  const key = edwardsPoint(publicKey);
  if (key === null || answer >= ORDER) return false;
  const challenge = mod(littleEndian(sha512(joined(commitment, publicKey, message))), ORDER);
  const minusKey = [mod(-key[0], P), key[1], 1n, mod(-key[3], P)];
  return same(edwardsOctets(combined(EDWARDS, [answer, BASE], [challenge, minusKey])), commitment);
}

// Short Weierstrass form with a = -3, Jacobian coordinates [X, Y, Z] with x = X/Z^2, y = Y/Z^3; Z = 0 is the zero.

const Q = (1n << 256n) - (1n << 224n) + (1n << 192n) + (1n << 96n) - 1n;
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const GENERATOR = [
  0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
  1n,
];

const WEIERSTRASS = {
  zero: [1n, 1n, 0n],
  double([x, y, z]) {
    if (z === 0n || y === 0n) return WEIERSTRASS.zero;
    const squareY = mod(y * y, Q);
    const shared = mod(4n * x * squareY, Q);
    const slope = mod(3n * (x - z * z) * (x + z * z), Q);
    const nextX = mod(slope * slope - 2n * shared, Q);
    return [nextX, mod(slope * (shared - nextX) - 8n * squareY * squareY, Q), mod(2n * y * z, Q)];
  },
  add(one, other) {
    const [[x1, y1, z1], [x2, y2, z2]] = [one, other];
    if (z1 === 0n) return other;
    if (z2 === 0n) return one;
    const [square1, square2] = [mod(z1 * z1, Q), mod(z2 * z2, Q)];
    const [u, v] = [mod(x1 * square2, Q), mod(y1 * z2 * square2, Q)];
    const [run, rise] = [mod(x2 * square1 - u, Q), mod(y2 * z1 * square1 - v, Q)];
    if (run === 0n) return rise === 0n ? WEIERSTRASS.double(one) : WEIERSTRASS.zero;
    const squareRun = mod(run * run, Q);
    const cube = mod(squareRun * run, Q);
    const x = mod(rise * rise - cube - 2n * u * squareRun, Q);
    return [x, mod(rise * (u * squareRun - x) - v * cube, Q), mod(z1 * z2 * run, Q)];
  },
};

function p256Point(octets) {
  if (octets.length !== 65 || octets[0] !== 4) return null;
  const [x, y] = [numberOf(octets.slice(1, 33)), numberOf(octets.slice(33))];
  const onCurve = x < Q && y < Q && mod(y * y - (x * x * x - 3n * x + B), Q) === 0n;
  return onCurve ? [x, y, 1n] : null;
}

/** Whether r || s is the signature of an uncompressed point over a message, with SHA-256. */
export function p256Verifies(publicKey, signature, message) {
  const key = p256Point(publicKey);
  if (key === null || signature.length !== 64) return false;
  const [r, s] = [numberOf(signature.slice(0, 32)), numberOf(signature.slice(32))];
  if (r === 0n || r >= P256_ORDER || s === 0n || s >= P256_ORDER) return false;
  const back = inverse(s, P256_ORDER);
  const factors = [numberOf(sha256(message)), r].map((one) => mod(one * back, P256_ORDER));
  const [x, , z] = combined(WEIERSTRASS, [factors[0], GENERATOR], [factors[1], key]);
  return z !== 0n && mod(mod(x * inverse(z * z, Q), Q), P256_ORDER) === r;
}
