// What the numbers of a reading mean: the profile that the gateway read by, taken from its canonical form.

import { decode } from "./cbor.js";
import { Malformed, hex } from "./octets.js";
import { LATE, MEASURED } from "./envelopes.js";
import { floored } from "./numbers.js";
import { arrayOf, oneOf, record, row, text, whole } from "./shapes.js";

const LIMIT = 1n << 63n;
const BESIDE = ["vectors", "disputes", "commissioning"];

/** Base units (Wh, varh, VAh, mL, kJ, W, var, VA, mV, mA, mHz, mL/h, thousandths of a degree, s, 1/1000) in each unit. */
const UNITS = new Map(Object.entries({
  Wh: 1n, kWh: 1000n, MWh: 1000000n, varh: 1n, kvarh: 1000n, VAh: 1n, kVAh: 1000n,
  mL: 1n, L: 1000n, m3: 1000000n, kJ: 1n, MJ: 1000n, GJ: 1000000n, "kWh(heat)": 3600n,
  W: 1n, kW: 1000n, var: 1n, kvar: 1000n, VA: 1n, kVA: 1000n, mV: 1n, V: 1000n, mA: 1n, A: 1000n, mHz: 1n, Hz: 1000n,
  "mL/h": 1n, "L/h": 1000n, "m3/h": 1000000n, "m°C": 1n, "°C": 1000n, s: 1n, h: 3600n, "1/1000": 1n, 1: 1000n,
}));

const number = whole(-LIMIT, LIMIT);
const CHANNEL = record({ obis: text, unit: text, exponent: whole(-9n, 9n), kind: oneOf("counter", "gauge", "state", "time") });
const PROFILE = record({ groups: arrayOf(record({ name: text, channels: arrayOf((item) => item) })) });

/** An OBIS code in one writing: without leading zeros, and without the `*255` of a present value. */
export function obisOf(code) {
  const found = /^(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?$/.exec(code);
  if (found === null) throw new Malformed(`${code} is no OBIS code`);
  const [a, b, c, d, e, f] = found.slice(1).map((one) => Number(one ?? 255));
  return `${a}-${b}:${c}.${d}.${e}${f === 255 ? "" : `*${f}`}`;
}

function channelOf(item) {
  const { obis, unit, exponent, kind } = CHANNEL(item, "channel");
  if (!UNITS.has(unit)) throw new Malformed(`unit ${unit} is not known here`);
  const modulus = item.has("modulus") ? number(item.get("modulus"), "modulus") : null;
  const plausible = item.has("plausible") ? row({ least: number, most: number })(item.get("plausible"), "plausible") : null;
  return { obis: obisOf(obis), factor: UNITS.get(unit), exponent, modulus, ...limitsOf(kind, modulus, plausible) };
}

/** Least and most mantissa that a channel can show. */
function limitsOf(kind, modulus, plausible) {
  if (kind === "counter") return { least: 0n, most: (modulus ?? LIMIT) - 1n };
  return plausible ?? { least: kind === "gauge" ? -LIMIT : 0n, most: LIMIT - 1n };
}

/** A mantissa in base units; throws Malformed where it is finer than one. */
function inBaseUnits({ factor, exponent }, mantissa) {
  const [over, under] = exponent < 0n ? [mantissa * factor, 10n ** -exponent] : [mantissa * factor * 10n ** exponent, 1n];
  if (over % under !== 0n) throw new Malformed("a register finer than its base unit");
  return floored(over, under);
}

/** The channel groups of a canonical profile; throws Malformed. */
export function readProfile(octets) {
  const content = decode(octets);
  const profile = PROFILE(content, "profile");
  if (BESIDE.some((name) => content.has(name))) throw new Malformed("a canonical profile holds no vectors, disputes or commissioning");
  return profile.groups.map(({ channels }) => channels.map(channelOf));
}

/** The measured register that a reading holds under a code, in base units; null for none. Throws Malformed. */
export function registerOf(groups, reading, obis) {
  const channels = groups[Number(reading.group)];
  if (channels === undefined) throw new Malformed("its profile has no such group");
  const hasMantissas = reading.quality === MEASURED || reading.quality === LATE;
  if (!hasMantissas && reading.mantissas.length) throw new Malformed("registers beside a failed reading");
  if (hasMantissas && reading.mantissas.length !== channels.length) throw new Malformed("not as many registers as its profile has");
  reading.mantissas.forEach((mantissa, at) => {
    const { least, most } = channels[at];
    if (mantissa !== null && (mantissa < least || mantissa > most)) throw new Malformed("a register beyond what the meter can show");
  });
  if (reading.quality !== MEASURED) return null;
  const at = channels.findIndex((channel) => channel.obis === obis);
  return at < 0 || reading.mantissas[at] === null ? null : inBaseUnits(channels[at], reading.mantissas[at]);
}

/** Whether a profile states that a register rolls over at `modulus` base units. */
export function rollsOverAt(groups, obis, modulus) {
  const counters = groups.flat().filter((channel) => channel.obis === obis && channel.modulus !== null);
  return counters.some((channel) => inBaseUnits(channel, channel.modulus) === modulus);
}

/** The profiles of a file by digest, in hexadecimal digits. */
export async function profilesOf(canonical, seals) {
  const entries = canonical.map(async (octets) => [hex(await seals.sha256(octets)), readProfile(octets)]);
  return new Map(await Promise.all(entries));
}
