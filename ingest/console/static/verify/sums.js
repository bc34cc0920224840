// The tree of a run and of its pools (docs/proofs.md): a digest that binds amounts and their sums, and what completes it.

import { decode, encode } from "./cbor.js";
import { Malformed, bigEndian, hex, joined, same, utf8 } from "./octets.js";
import { arrayOf, octetsOf, row, whole } from "./shapes.js";

const SUM_MAX = (1n << 63n) - 1n;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const POOL = Uint8Array.of(2);
const LINE = Uint8Array.of(3);
const PLACE = Uint8Array.of(4);
const FACTS = Uint8Array.of(5);
const PROOF_OCTETS_MAX = 16 * 1024 * 1024;

const DEPTH = whole(0n, 256n);
const STUB = row({ digest: octetsOf(32), charges: whole(0n, SUM_MAX), credits: whole(0n, SUM_MAX) });
const OPENED_LINE = row({ salt: octetsOf(32), pieces: arrayOf(whole(-SUM_MAX, SUM_MAX)), depths: arrayOf(DEPTH) });
const OPENED_POOL = row({ depth: DEPTH, stubs: arrayOf(STUB) });
const PROOF = row({ lines: arrayOf(OPENED_LINE), pools: arrayOf(OPENED_POOL), stubs: arrayOf(STUB) });

/** A proof does not lead where it should; `link` says which pool, or "commitment". */
export class NotProven extends Error {
  constructor(link, problem) {
    super(problem);
    this.link = link;
  }
}

/** The field `proof` of a statement file; throws Malformed. */
export function readProof(octets) {
  const proof = PROOF(decode(octets, PROOF_OCTETS_MAX), "proof");
  const isWhole = proof.lines.every(({ pieces, depths }) => pieces.length >= 1 && pieces.length <= 64 && pieces.length === depths.length);
  if (!isWhole) throw new Malformed("a line is opened with no pieces, or not with as many depths");
  return proof;
}

const octetsOfNode = ({ digest, charges, credits }) => joined(digest, bigEndian(charges, 8), bigEndian(credits, 8));

const bitAt = (place, depth) => (place[depth >> 3] >> (7 - (depth & 7))) & 1;

/** Completes a tree from own leaves [{place, depth, node}] and stubs, from left to right. */
class Regrown {
  constructor(stubs, seals, link) {
    this.stubs = stubs.slice().reverse();
    this.seals = seals;
    this.link = link;
  }

  async top(leaves) {
    const top = await this.node(leaves, 0);
    if (this.stubs.length) throw new NotProven(this.link, "a branch is left over");
    return top;
  }

  async node(leaves, depth) {
    if (leaves.length === 0) {
      const stub = this.stubs.pop();
      if (stub === undefined) throw new NotProven(this.link, "a branch is missing");
      return stub;
    }
    if (leaves.some((leaf) => leaf.depth === depth)) {
      if (leaves.length > 1) throw new NotProven(this.link, "a leaf stands above another");
      return leaves[0].node;
    }
    if (depth === 256) throw new NotProven(this.link, "a leaf stands deeper than a place has bits");
    const left = await this.node(leaves.filter(({ place }) => bitAt(place, depth) === 0), depth + 1);
    const right = await this.node(leaves.filter(({ place }) => bitAt(place, depth) === 1), depth + 1);
    const [charges, credits] = [left.charges + right.charges, left.credits + right.credits];
    if (charges > SUM_MAX || credits > SUM_MAX) throw new NotProven(this.link, "a sum is too large");
    return { digest: await this.seals.sha256(NODE, octetsOfNode(left), octetsOfNode(right)), charges, credits };
  }
}

async function leavesOf(runId, line, opening, isOpen, seals, link) {
  const { salt, pieces, depths } = opening;
  const isOneSign = pieces.every((piece) => piece >= 0n) || pieces.every((piece) => piece <= 0n);
  if (!isOneSign || pieces.reduce((sum, piece) => sum + piece, 0n) !== line.amount) {
    throw new NotProven(link, `line ${line.id} is opened with other pieces than its amount has`);
  }
  const digest = await seals.sha256(LINE, encode([runId, line.id, line.energy, line.amount]));
  return Promise.all(
    pieces.map(async (piece, number) => {
      const place = await seals.sha256(LEAF, digest, salt, bigEndian(number, 2), bigEndian(BigInt.asUintN(64, piece), 8));
      const charges = isOpen && piece > 0n ? piece : 0n;
      const credits = isOpen && piece < 0n ? -piece : 0n;
      return { place, depth: Number(depths[number]), node: { digest: place, charges, credits } };
    }),
  );
}

/** The one cut of a pool's own lines, [total weight, remainder, line id]. */
function cutOf(lines, link) {
  const cuts = new Map(lines.map(({ cut }) => [hex(encode(cut)), cut]));
  if (cuts.size > 1) throw new NotProven(link, "its lines speak of different last odd units");
  return cuts.values().next().value ?? [0n, 0n, ""];
}

/** Check that the own lines of a pool hang in its tree and that the tree makes its cost; gives {charges, credits}. */
export async function provePool(statement, proof, at, seals) {
  const pool = statement.pools[at];
  const link = `pool ${pool.id}`;
  const own = statement.lines.map((line, place) => [line, proof.lines[place]]).filter(([line]) => line.pool === pool.id);
  const facts = await seals.sha256(FACTS, encode([pool.facts, cutOf(own.map(([line]) => line), link)]));
  const isOpen = pool.cost !== null;
  const leaves = [];
  for (const [line, opening] of own) leaves.push(...(await leavesOf(statement.runId, line, opening, isOpen, seals, link)));
  if (new Set(leaves.map(({ place }) => hex(place))).size < leaves.length) throw new NotProven(link, "a leaf stands twice");
  const top = await new Regrown(proof.pools[at].stubs, seals, link).top(leaves);
  const root = await seals.sha256(POOL, octetsOfNode(top), facts, utf8(pool.id));
  if (!same(root, pool.root)) {
    throw new NotProven(link, "your lines, the sums of the others and what is said of the pool do not lead to its signed root");
  }
  if (!isOpen) return { charges: null, credits: null };
  if (top.charges - top.credits !== pool.cost) throw new NotProven(link, "all shares together are not its cost");
  if (top.charges && top.credits && own.some(([line]) => line.isShare)) {
    throw new NotProven(link, "somebody takes out what others pay in");
  }
  return top;
}

/** Check that the signed roots of the statement's pools hang in the run's tree. */
export async function proveRun(statement, proof, seals) {
  const leaves = await Promise.all(
    statement.pools.map(async (pool, at) => ({
      place: await seals.sha256(PLACE, utf8(pool.id)),
      depth: Number(proof.pools[at].depth),
      node: { digest: pool.root, charges: 0n, credits: 0n },
    })),
  );
  const top = await new Regrown(proof.stubs, seals, "commitment").top(leaves);
  if (!same(top.digest, statement.commitment)) {
    throw new NotProven("commitment", "the pools of this statement are not those the run committed to");
  }
}

/** Each pool of the lines is stated, once, and each line and pool is opened. */
export function requireShape(statement, proof) {
  if (proof.lines.length !== statement.lines.length || proof.pools.length !== statement.pools.length) {
    throw new NotProven("commitment", "not as many lines and pools are opened as are stated");
  }
  const [stated, named] = [statement.pools.map(({ id }) => id), new Set(statement.lines.map(({ pool }) => pool))];
  if (new Set(stated).size < stated.length || stated.length !== named.size || stated.some((id) => !named.has(id))) {
    throw new NotProven("commitment", "the pools of the statement are not those of its lines, each once");
  }
}
