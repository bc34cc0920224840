// A formula as people see it, and as rules keep it. Pure: no document, no network.
//
// Rules keep a tree of blocks: {op: "*", of: [a, b]}, {input: "tmax"}, {number: "26", unit: "C"}, {meter: "u-a101"}.
// People see a row as at school: terms with signs between them, brackets where the tree needs them. Both say the same:
// blocksOf(rowOf(blocks)) gives the same blocks again.
//
//   row   {terms: [term, ...], signs: ["*", ...]}   one sign less than terms
//   term  {kind: "input" | "number" | "meter" | "hole" | "group" | "minus" | "min" | "max" | "clamp", ...}
//         the last five hold rows: {kind: "clamp", rows: [row, row, row]}

const BINDS = { "+": 1, "-": 1, "*": 2, "/": 2 };
export const SIGNS = ["*", "/", "+", "-"];
export const ROWS = { group: 1, minus: 1, min: 2, max: 2, clamp: 3 };
export const ROWS_MAX = { group: 1, minus: 1, min: 8, max: 8, clamp: 3 };

export const hole = () => ({ kind: "hole" });
export const rowWith = (...terms) => ({ terms, signs: terms.slice(1).map(() => "*") });

export function newTerm(block) {
  // A block of the palette: {new: "clamp"} holds rows still empty, anything else is a block of rules.
  if (!block.new) return termOf(block);
  return { kind: block.new, rows: Array.from({ length: ROWS[block.new] }, () => rowWith(hole())) };
}

export function rowOf(block) {
  if (!(block.op in BINDS)) return rowWith(termOf(block));
  const binds = BINDS[block.op];
  const [left, right] = block.of;
  const before = bindsOf(left) >= binds ? rowOf(left) : rowWith(termOf(left));
  const after = bindsOf(right) > binds ? rowOf(right) : rowWith(termOf(right));
  return { terms: [...before.terms, ...after.terms], signs: [...before.signs, block.op, ...after.signs] };
}

function bindsOf(block) {
  return block.op in BINDS ? BINDS[block.op] : 0;
}

export function termOf(block) {
  if ("input" in block) return { kind: "input", name: block.input };
  if ("meter" in block) return { kind: "meter", node: block.meter };
  if ("number" in block) return { kind: "number", number: block.number, unit: block.unit || "" };
  if (block.op in BINDS) return { kind: "group", rows: [rowOf(block)] };
  return { kind: block.op, rows: block.of.map(rowOf) };
}

export function blocksOf(row) {
  // null where something is still missing.
  const found = treeOf(row);
  return found === null ? null : plain(found);
}

export function placesOf(row) {
  // Where each block of the tree stands in the row, by the path rules name it with: {term} or {row, sign}.
  const places = new Map();
  const found = treeOf(row);
  const walk = (node, path) => {
    places.set(path, node.at);
    (node.of || []).forEach((part, number) => walk(part, path ? `${path}.${number}` : `${number}`));
  };
  if (found !== null) walk(found, "");
  return places;
}

function treeOf(row) {
  const leaves = row.terms.map(leafOf);
  if (leaves.includes(null)) return null;
  const join = (sign, left, right) => ({ op: row.signs[sign], of: [left, right], at: { row, sign } });
  const sums = [];
  let product = leaves[0];
  row.signs.forEach((operator, sign) => {
    if (BINDS[operator] === 2) {
      product = join(sign, product, leaves[sign + 1]);
    } else {
      sums.push([product, sign]);
      product = leaves[sign + 1];
    }
  });
  if (!sums.length) return product;
  let sum = sums[0][0];
  sums.forEach(([, sign], place) => {
    sum = join(sign, sum, place + 1 < sums.length ? sums[place + 1][0] : product);
  });
  return sum;
}

function leafOf(term) {
  const at = { term };
  switch (term.kind) {
    case "hole":
      return null;
    case "input":
      return { input: term.name, at };
    case "meter":
      return term.node ? { meter: term.node, at } : null;
    case "number":
      return isNumber(term.number) ? { number: term.number, ...(term.unit ? { unit: term.unit } : {}), at } : null;
    case "group":
      return treeOf(term.rows[0]);
  }
  const of = term.rows.map(treeOf);
  return of.includes(null) ? null : { op: term.kind, of, at };
}

function plain(node) {
  const { at, of, ...rest } = node;
  return of ? { ...rest, of: of.map(plain) } : rest;
}

export function isNumber(text) {
  return /^-?[0-9]{1,12}(\.[0-9]{1,12})?$/.test(text);
}

export function insert(row, place, term) {
  // Put a term before the one at `place`; a hole that is all there is gives way.
  if (row.terms.length === 1 && row.terms[0].kind === "hole") {
    row.terms[0] = term;
    return;
  }
  row.terms.splice(place, 0, term);
  row.signs.splice(Math.max(place - 1, 0), 0, "*");
}

export function remove(row, place) {
  // Take a term out with the sign before it; a row is never empty.
  const [term] = row.terms.splice(place, 1);
  row.signs.splice(Math.max(place - 1, 0), 1);
  if (!row.terms.length) row.terms.push(hole());
  return term;
}

export function holds(term, row) {
  // Whether a row lies within a term: a term cannot be moved into itself.
  return (term.rows || []).some((one) => one === row || one.terms.some((inner) => holds(inner, row)));
}

export function find(row, sought) {
  // The row and place in which a term stands.
  for (const [place, term] of row.terms.entries()) {
    if (term === sought) return { row, place };
    for (const inner of term.rows || []) {
      const found = find(inner, sought);
      if (found) return found;
    }
  }
  return null;
}

export function termsIn(row) {
  // All terms as they are read, those that hold others before what they hold.
  return row.terms.flatMap((term) => [term, ...(term.rows || []).flatMap(termsIn)]);
}
