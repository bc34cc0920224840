// What a statement says (docs/statement.md): the signed map, read into plain objects. Nothing is recomputed here.

import { decode } from "./cbor.js";
import { minorDigits } from "./numbers.js";
import { Malformed, fromBase64, textOf } from "./octets.js";
import { obisOf } from "./profiles.js";
import { EDDSA, ES256 } from "./seals.js";
import { arrayOf, day, fraction, mapOf, octetsOf, oneOf, record, row, some, text, truth, units, whole } from "./shapes.js";

export const FORMAT = "metertree-statement/1";
export const STATEMENT_OCTETS_MAX = 32 * 1024 * 1024;
const FILE_OCTETS_MAX = 64 * 1024 * 1024;
const PUBLICATION_FORMAT = "metertree-publication/1";

const numbers = arrayOf(whole());
/** Seconds since 1970, in the years 1 to 9999. */
const instant = whole(-62135596800n, 253402300799n);
const obis = (item, name) => obisOf(text(item, name));
const currency = (item, name) => {
  minorDigits(text(item, name));
  return item;
};
const STEP = row({ what: text, quantity: whole(), unit: text, rate: whole(), part: fraction, note: text });
const FLOW = arrayOf(row({ pool: text, part: fraction }));

const POOL = record({
  id: text, names: mapOf(text), class: oneOf("must", "negotiated", "exclusive"), cost_minor: some(whole()), charged_minor: some(whole()),
  root: octetsOf(32), tariff: text, steps: arrayOf(STEP), charge: some(text), ground: text,
  days: arrayOf(record({ day, cost_nano: whole(), inputs: arrayOf(row({ name: text, number: text, on: day })), passed_on: fraction })),
  service: some(row({ method: oneOf("direct", "step-down", "reciprocal"), own: whole(), received: FLOW, passed: FLOW, cost: whole() })),
});
const LINE = record({
  pool: text, party: text, unit: some(text), kind: oneOf("metered", "charge", "share", "loss", "residual"),
  band_energy_wh: numbers, amount_minor: whole(), trace: (item) => item,
});
const TIER = record({
  version: text, first: whole(), end: whole(), before: whole(), amount: whole(), since: day, part: fraction,
  tiers: row({ span: oneOf("month", "year"), limits: oneOf("whole", "occupied"), upto: numbers, adds: numbers }),
});
const METERED = record({
  nodes: arrayOf(text), deduct: arrayOf(text), measure: oneOf("import", "net", "water", "gas", "heat"),
  spans: arrayOf(row({ first: whole(), end: whole() })), cost_nano: whole(), slots_by_quality: mapOf(whole()), tiers: arrayOf(TIER),
});
const CHARGE = record({ steps: arrayOf(STEP), of: arrayOf(text) });
const LOSS = record({
  line_id: text, drawn_wh: numbers, carried: numbers, no_load: numbers, extra: truth, cut_remainder: whole(), cut_id: text,
});
const SHARE = record({
  line_id: text, weight: whole(), total_weight: whole(), remainder: whole(), extra: truth, cut_remainder: whole(), cut_id: text,
  area_cm2: whole(), slots: whole(),
  keys: arrayOf(row({ day: some(day), stage: text, taker: text, by: text, part: fraction, weight: whole(), total: whole() })),
});
const POINT = record({
  node: text, obis,
  installations: arrayOf(record({
    meter: text, start: some(instant), end: some(instant), multiplier: whole(), modulus_wh: some(whole()), power_max_w: some(whole()),
    initial_wh: some(whole()), final_wh: some(whole()),
  })),
  readings: arrayOf(row({ mark: instant, meter: text, register: whole(), envelope: whole(0n) })),
});
const CONTENT = record({
  format: text, number: text, version: whole(), booked_at: instant, site: text, label: text, zone: text, party: text, currency,
  total_minor: whole(), engine_version: text, run_id: octetsOf(), inputs_hash: octetsOf(), rules_hash: octetsOf(), site_hash: octetsOf(),
  commitment: octetsOf(), period: row({ start: instant, end: instant }),
  bands: arrayOf(row({ version: text, name: text, rate: whole(), tariff: text, per: text, units })),
  band_runs: arrayOf(row({ slot: whole(), band: whole(0n) })),
  pools: (item) => item, lines: arrayOf(LINE), points: arrayOf(POINT),
  evidence: arrayOf(row({ gateway: text, epoch: whole(), seq: whole(), digest: octetsOf() })),
  keys: arrayOf(row({ gateway: text, epoch: whole(), keyId: octetsOf(), algorithm: oneOf(EDDSA, ES256), publicKey: octetsOf() })),
  warnings: arrayOf(text),
  taxes: arrayOf(row({ tax: text, names: mapOf(text), party: text, percent: fraction, gross: whole(), contained: whole() })),
  checks: arrayOf(row({ cap: text, kind: oneOf("price", "sum"), party: some(text), energy: whole(), charged: whole(), limit: whole(), basis: text })),
});
const PUBLICATION = record({
  format: text, run: octetsOf(32), commitment: octetsOf(32), site: text, label: text, published_at: whole(), checked_by: text,
  approved_by: text, published_by: text, reasons: arrayOf(row({ finding: text, reason: text })), supersedes: octetsOf(),
});

/** The parts of a statement file, none of them proven; throws Malformed. */
export function readFile(octets) {
  if (octets.length > FILE_OCTETS_MAX) throw new Malformed("the file is larger than any statement");
  let content;
  try {
    content = JSON.parse(textOf(octets));
  } catch {
    throw new Malformed("it is not a statement file");
  }
  const isFile = content !== null && typeof content === "object" && content.format === FORMAT;
  if (!isFile) throw new Malformed("it is not a statement file of a format that is known here");
  const listed = (name) => {
    if (!Array.isArray(content[name])) throw new Malformed(`${name} is missing`);
    return content[name].map(fromBase64);
  };
  return {
    statement: fromBase64(content.statement),
    proof: fromBase64(content.proof),
    evidence: listed("evidence"),
    profiles: listed("profiles"),
    publication: "publication" in content ? fromBase64(content.publication) : null,
  };
}

function traceOf(line) {
  const { trace, kind } = line;
  if (!(trace instanceof Map)) throw new Malformed("a line without a trace");
  if (trace.has("carried")) return { how: "loss", ...LOSS(trace, "trace") };
  if (kind === "metered") return { how: "metered", ...METERED(trace, "trace") };
  if (kind === "charge") return { how: "charge", ...CHARGE(trace, "trace") };
  return { how: "share", ...SHARE(trace, "trace") };
}

function lineOf(stated) {
  const trace = traceOf(stated);
  const totalWeight = { share: trace.total_weight, loss: 0n }[trace.how];
  return {
    id: `${stated.pool}/${stated.unit || "residual"}/${stated.party}`,
    ownId: `${stated.unit || "residual"}/${stated.party}`,
    pool: stated.pool,
    party: stated.party,
    kind: stated.kind,
    energy: stated.band_energy_wh,
    amount: stated.amount_minor,
    isShare: trace.how === "share",
    cut: totalWeight === undefined ? [0n, 0n, ""] : [totalWeight, trace.cut_remainder, trace.cut_id],
    trace,
  };
}

function poolOf(item, at) {
  const stated = POOL(item, `pool ${at}`);
  const facts = new Map(item);
  facts.delete("root");
  return { ...stated, cost: stated.cost_minor, names: new Map(stated.names), facts };
}

/** What the payload of a sealed statement says; throws Malformed. */
export function readStatement(payload) {
  const content = CONTENT(decode(payload, STATEMENT_OCTETS_MAX), "statement");
  if (content.format !== FORMAT) throw new Malformed("a statement of a format that is not known here");
  const points = content.points.map((point) => ({
    ...point,
    readings: point.readings.map((reading) => {
      const envelope = content.evidence[Number(reading.envelope)];
      if (envelope === undefined) throw new Malformed("a reading rests on evidence that the statement does not name");
      return { ...reading, envelope };
    }),
  }));
  if (!Array.isArray(content.pools)) throw new Malformed("pools are missing");
  if (content.period.start >= content.period.end) throw new Malformed("a period that ends before it begins");
  if (content.band_runs.some(({ band }) => band >= BigInt(content.bands.length))) throw new Malformed("a run of slots names no band");
  return {
    ...content,
    points,
    runId: content.run_id,
    lines: content.lines.map(lineOf),
    pools: content.pools.map(poolOf),
  };
}

/** What the payload of a publication says; throws Malformed. */
export function readPublication(payload) {
  const content = PUBLICATION(decode(payload), "publication");
  if (content.format !== PUBLICATION_FORMAT) throw new Malformed("a publication of a format that is not known here");
  return content;
}
