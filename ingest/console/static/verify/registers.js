// From registers to energy: what the difference of two registers is worth, and how it lies in time.
//
// Between two successive instants at which a register is known its energy is one number, laid evenly over the time
// between. How much of it lies before an instant is that line's height there, cut down to a whole number: so the energy
// between any two instants is a difference of two heights, however many quarter hours lie between them.

import { floored } from "./numbers.js";

export const SLOT_S = 900n;
const ROLLOVER_REACH = 100n;
const NO_END = 1n << 62n;

/** Registers that do not tell how much there was between two instants. */
export class NotCovered extends Error {}

/** The installation in which a meter hung at an instant; -1 for none. */
const homeOf = (installations, { meter, mark }) =>
  installations.findIndex((one) => one.meter === meter && (one.start === null || one.start <= mark) && (one.end === null || mark < one.end));

/** Instants at which the register of an installation is known, in time order. */
function knownAt({ installations, readings }) {
  const known = [];
  installations.forEach((one, epoch) => {
    if (one.initial_wh !== null && one.start !== null) known.push({ epoch, at: one.start, register: one.initial_wh, declared: true });
    if (one.final_wh !== null && one.end !== null) known.push({ epoch, at: one.end, register: one.final_wh, declared: true });
  });
  const told = new Set();
  for (const reading of readings) {
    const name = `${reading.mark} ${reading.meter} ${reading.register}`;
    const epoch = homeOf(installations, reading);
    if (epoch >= 0 && !told.has(name)) known.push({ epoch, at: reading.mark, register: reading.register, declared: false });
    told.add(name);
  }
  const sign = (number) => (number > 0n) - (number < 0n);
  return known.sort((one, other) =>
    one.epoch - other.epoch || sign(one.at - other.at) || other.declared - one.declared || (one.declared ? 0 : sign(one.register - other.register)));
}

function follow(installations) {
  installations.slice(1).forEach((after, at) => {
    const before = installations[at];
    if ((before.end ?? NO_END) > (after.start ?? -NO_END)) throw new NotCovered("two meters are said to hang there at one time");
  });
}

/** What lies between two successive known registers: {from, to, energy}, or {from, to, held: why}. */
function stretch(before, after, installations) {
  const [from, to] = [before.at, after.at];
  if (before.epoch !== after.epoch) {
    const declared = before.declared && after.declared && from === to && after.epoch === before.epoch + 1;
    return declared ? { from, to, energy: 0n } : { from, to, held: "an exchange of meters that nobody declared" };
  }
  if (from === to && !before.declared && before.register !== after.register) {
    return { from, to, held: "two readings of one instant that differ" };
  }
  const { multiplier, modulus_wh: modulus, power_max_w: powerMax } = installations[before.epoch];
  let advance = after.register - before.register;
  if (advance < 0n) {
    const over = modulus === null ? null : advance + modulus;
    if (over === null || over * ROLLOVER_REACH > modulus) return { from, to, held: "a register that fell" };
    advance = over;
  }
  const energy = advance * multiplier;
  const seconds = to - from > SLOT_S ? to - from : SLOT_S;
  if (powerMax !== null && energy * 3600n > powerMax * seconds) return { from, to, held: "more than the meter's place can draw" };
  return { from, to, energy };
}

/** The course of one register of a point. */
export class Course {
  constructor(point) {
    follow(point.installations);
    const known = knownAt(point);
    this.node = point.node;
    this.stretches = known.slice(1).map((after, at) => stretch(known[at], after, point.installations));
  }

  /** Energy from one instant to another, both quarter hours; throws NotCovered unless registers cover all of it. */
  between(start, end) {
    let [energy, covered] = [0n, 0n];
    for (const one of this.stretches) {
      const [first, last] = [one.from > start ? one.from : start, one.to < end ? one.to : end];
      if (one.held !== undefined) {
        if (this.touches(one, start, end)) throw new NotCovered(one.held);
      } else if (one.from === one.to) {
        if (one.from >= start && one.from < end) energy += one.energy;
      } else if (first < last) {
        const height = (instant) => floored(one.energy * (instant - one.from), one.to - one.from);
        energy += height(last) - height(first);
        covered += last - first;
      }
    }
    if (covered !== end - start) throw new NotCovered("no register at both ends");
    return energy;
  }

  /** What is held spoils every quarter hour that it touches; an instant, also the one that it ends. */
  touches({ from, to }, start, end) {
    return from === to ? from >= start && from <= end : from < end && to > start;
  }
}
