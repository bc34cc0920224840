// What a gateway sealed (docs/wire.md): a signed head, and readings that are proven to hang in the tree below it.

import { decode, encode } from "./cbor.js";
import { Malformed, bigEndian, same } from "./octets.js";
import { readSigned } from "./seals.js";
import { arrayOf, identifier, octetsOf, row, some, whole } from "./shapes.js";

const FORMAT = 1n;
const READINGS = 1n;
const WHOLE = 1n;
const PART = 2n;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const OCTETS_MAX = 256 * 1024;
const MILLISECONDS = 1n << 47n;

/** How a reading came about; only the first bounds an energy. */
export const MEASURED = 0n;
export const LATE = 4n;

const HEAD = row({
  format: whole(), kind: whole(1n, 2n), gateway: identifier, epoch: whole(1n, (1n << 31n) - 1n), seq: whole(1n, (1n << 63n) - 1n),
  previous: octetsOf(32), boot: octetsOf(16), sealedAt: whole(-MILLISECONDS, MILLISECONDS),
  clock: row({ quality: whole(0n, 2n), error: some(whole(0n, MILLISECONDS)) }),
  mark: some(whole(-(1n << 37n), 1n << 37n)), profiles: arrayOf(octetsOf(32)), count: whole(0n, 4096n), root: octetsOf(32),
});
const READING = row({
  meter: identifier, profile: whole(0n), group: whole(0n, 255n), started: whole(-MILLISECONDS, MILLISECONDS),
  ended: whole(-MILLISECONDS, MILLISECONDS), quality: whole(0n, 4n),
  mantissas: arrayOf(some(whole(-(1n << 63n), (1n << 63n) - 1n))), frames: arrayOf(octetsOf()),
});
const OPENING = row({ index: whole(0n), salt: octetsOf(16), reading: (item) => item, path: arrayOf(octetsOf(32)) });

/** An envelope with its readings proven to hang below its head; whose head it is, the signature says. */
export async function openEnvelope(octets, seals) {
  const { sealed, shown } = partsOf(octets);
  const message = readSigned(sealed, OCTETS_MAX);
  const head = HEAD(decode(message.payload), "head");
  if (head.format !== FORMAT) throw new Malformed("an envelope of a format that is not known");
  const leaves = await shownLeaves(head, shown, seals);
  const readings = head.kind === READINGS ? leaves.map((leaf) => readingOf(leaf, head.profiles)) : [];
  return { digest: await seals.sha256(sealed), message, head, readings };
}

/** The digest of an envelope's head, whatever became of its readings. */
export async function digestOfHead(octets, seals) {
  return seals.sha256(partsOf(octets).sealed);
}

function partsOf(octets) {
  const message = decode(octets, OCTETS_MAX);
  if (!Array.isArray(message) || message.length !== 2) throw new Malformed("not an envelope");
  const [sealed, shown] = message;
  const lengths = new Map([[WHOLE, 3], [PART, 2]]);
  if (!(sealed instanceof Uint8Array) || !Array.isArray(shown) || shown.length !== lengths.get(shown[0])) throw new Malformed("not an envelope");
  return { sealed, shown };
}

function readingOf(leaf, profiles) {
  const reading = READING(leaf, "reading");
  const profile = profiles[Number(reading.profile)];
  if (profile === undefined) throw new Malformed("a reading by a profile that its head does not name");
  return { ...reading, profile };
}

async function shownLeaves(head, shown, seals) {
  if (shown[0] === WHOLE) {
    const [, seed, leaves] = shown;
    if (!(seed instanceof Uint8Array) || seed.length !== 16 || !Array.isArray(leaves)) throw new Malformed("not an envelope");
    if (BigInt(leaves.length) !== head.count) throw new Malformed("another number of readings than was signed");
    const salted = await Promise.all(leaves.map(async (leaf, index) => leafDigest(await saltOf(seed, index, seals), leaf, seals)));
    if (!same(await rootOf(salted, seals), head.root)) throw new Malformed("the readings are not those that were signed");
    return leaves;
  }
  const openings = arrayOf(OPENING)(shown[1], "openings");
  for (const opening of openings) {
    const digest = await leafDigest(opening.salt, opening.reading, seals);
    const root = await climbed(digest, Number(opening.index), Number(head.count), opening.path, seals);
    if (root === null || !same(root, head.root)) throw new Malformed("a reading is not one of those that were signed");
  }
  return openings.map((opening) => opening.reading);
}

async function saltOf(seed, index, seals) {
  const block = new Uint8Array(64);
  block.set(seed);
  const inner = await seals.sha256(block.map((octet) => octet ^ 0x36), bigEndian(index, 4));
  return (await seals.sha256(block.map((octet) => octet ^ 0x5c), inner)).subarray(0, 16);
}

function leafDigest(salt, reading, seals) {
  return seals.sha256(LEAF, salt, encode(reading));
}

/** The largest power of two below a number of leaves: where a tree of RFC 9162, 2.1 is split. */
function splitOf(count) {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

async function rootOf(leaves, seals) {
  if (leaves.length === 0) return seals.sha256();
  if (leaves.length === 1) return leaves[0];
  const split = splitOf(leaves.length);
  return seals.sha256(NODE, await rootOf(leaves.slice(0, split), seals), await rootOf(leaves.slice(split), seals));
}

/** The root above a leaf: down from the top by the same splits, up again with a sibling each; null where they do not fit. */
async function climbed(leaf, index, count, path, seals) {
  if (index >= count) return null;
  const turns = [];
  let [place, leaves] = [index, count];
  while (leaves > 1) {
    const split = splitOf(leaves);
    const isRight = place >= split;
    turns.push(isRight);
    [place, leaves] = isRight ? [place - split, leaves - split] : [place, split];
  }
  if (turns.length !== path.length) return null;
  let node = leaf;
  for (const sibling of path) {
    node = turns.pop() ? await seals.sha256(NODE, sibling, node) : await seals.sha256(NODE, node, sibling);
  }
  return node;
}

const NOTE_FORMAT = "metertree-hand-reading/1";
const NOTE = row({
  format: (item) => item, source: (item) => item, text: (item) => item, photo: some(octetsOf(32)), seen: (item) => item,
  confidence: some(whole(0n, 1000n)), reader: octetsOf(32),
});

/** What a person noted beside a register; null for one that a meter told. Throws Malformed for a damaged note. */
export function noteOf(reading) {
  const [frame, ...others] = reading.frames;
  const mark = encode(NOTE_FORMAT);
  if (frame === undefined || others.length || !same(frame.subarray(1, 1 + mark.length), mark)) return null;
  const note = NOTE(decode(frame, 1024), "note");
  const isText = (item) => typeof item === "string" && item.length >= 1 && item.length <= 32;
  if ((note.source !== "typed" && note.source !== "photo") || !isText(note.text)) throw new Malformed("a note that is none");
  if (note.seen !== null && !isText(note.seen)) throw new Malformed("a note that is none");
  return note;
}
