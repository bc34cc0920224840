// Every line anew: what its registers, steps, weights or losses come to, and whether that is what it says.

import { Malformed, ordered, utf8 } from "./octets.js";
import { Ratio, amountShown, floored, magnitude, money, nanoPerMinor, minorDigits, pointed, rounded, sumOf, toMinor } from "./numbers.js";
import { inChinese } from "./words.js";
import { Course, NotCovered, SLOT_S } from "./registers.js";

/** A line is not what it rests on comes to. */
export class LineWrong extends Error {
  constructor(en, zh) {
    super(en);
    this.told = { en, zh };
  }
}

/** The registers that each measure counts, and those that it takes off. */
const IMPORT = "1-0:1.8.0";
const MEASURES = {
  import: [[1n, IMPORT]],
  net: [[1n, IMPORT], [-1n, "1-0:2.8.0"]],
  water: [[1n, "8-0:1.0.0"]],
  gas: [[1n, "7-0:3.0.0"]],
  heat: [[1n, "6-0:1.0.0"]],
};
const LOSS_BITS = 20n;
/** Weights are whole numbers of 61 bits: so far they may be from the keys that they stand for. */
const WEIGHT_CUT = new Ratio(1n, 1n << 40n);

/** All lines of one statement, with the courses of its registers. */
export class Recomputed {
  constructor(statement) {
    this.statement = statement;
    this.courses = new Map();
    this.points = new Map(statement.points.map((point) => [`${point.node} ${point.obis}`, point]));
  }

  /** What a line comes to: {amount, told}. Throws LineWrong. */
  line(line) {
    if (line.party !== this.statement.party) throw new LineWrong(`it is a line of ${line.party}`, `这是 ${line.party} 的明细行`);
    try {
      const how = { metered: this.metered, charge: this.charge, loss: this.loss, share: this.share }[line.trace.how];
      return how.call(this, line, line.trace);
    } catch (error) {
      if (!(error instanceof Malformed) && !(error instanceof NotCovered)) throw error;
      throw new LineWrong(`it cannot be recomputed: ${error.message}`, `无法重算：${inChinese(error.message)}`);
    }
  }

  money(minor) {
    return money(minor, this.statement.currency);
  }

  require(line, amount, told) {
    if (amount !== line.amount) {
      const [found, said] = [this.money(amount), this.money(line.amount)];
      throw new LineWrong(`${told.en} give ${found}; the line says ${said}`, `${told.zh}，得 ${found}；明细行写的是 ${said}`);
    }
    return { amount, told: { en: `${told.en} give ${this.money(amount)}`, zh: `${told.zh}，得 ${this.money(amount)}` } };
  }

  pool(line) {
    const pool = this.statement.pools.find(({ id }) => id === line.pool);
    if (pool === undefined) throw new LineWrong(`the statement does not state pool ${line.pool}`, `确认单没有说明费用池 ${line.pool}`);
    return pool;
  }

  // Metered: registers x multiplier, by band, times the price of the band, tiers on top, rounded once.

  metered(line, trace) {
    const { bands, currency } = this.statement;
    const { tariff } = this.pool(line);
    const energy = bands.map(() => 0n);
    for (const span of trace.spans) {
      for (const [band, first, end] of this.priced(tariff, span)) energy[band] += this.counted(trace, first, end);
    }
    if (energy.length !== line.energy.length || energy.some((one, band) => one !== line.energy[band])) {
      throw new LineWrong(
        `its registers give ${pointed(sumOf(energy), 3)} kWh by band, not what the line says`,
        "由表码得出的分时电量与明细行不符",
      );
    }
    const nano = sumOf(energy.map((one, band) => priceOf(bands[band], one))) + this.tiers(trace, tariff);
    if (nano !== trace.cost_nano) throw new LineWrong("its energy by band costs another sum", "分时电量乘单价得出另一金额");
    const shown = amountShown(sumOf(energy), trace.measure);
    return this.require(line, toMinor(nano, currency), { en: `${shown} from signed registers`, zh: `由签名表码得 ${shown}` });
  }

  /** The parts of a span of slots that one band of a tariff prices: [band, first slot, end slot]. */
  priced(tariff, { first, end }) {
    const { bands, band_runs: runs, period } = this.statement;
    const own = runs.filter(({ band }) => bands[Number(band)].tariff === tariff);
    const slots = (period.end - period.start) / SLOT_S;
    if (first < 0n || first >= end || end > slots) throw new Malformed("a span that is not in the period");
    const parts = own.map(({ slot, band }, at) => {
      const until = own[at + 1]?.slot ?? slots;
      return [Number(band), slot > first ? slot : first, until < end ? until : end];
    });
    const held = parts.filter(([, from, to]) => from < to);
    if (sumOf(held.map(([, from, to]) => to - from)) !== end - first) throw new Malformed("no price, or two, for a part of the time");
    return held;
  }

  /** What a line counts from one slot to another. */
  counted(trace, first, end) {
    const { start } = this.statement.period;
    const [from, to] = [start + first * SLOT_S, start + end * SLOT_S];
    const of = (nodes) => sumOf(nodes.flatMap((node) => MEASURES[trace.measure].map(([sign, obis]) => sign * this.course(node, obis).between(from, to))));
    return of(trace.nodes) - of(trace.deduct);
  }

  course(node, obis) {
    const name = `${node} ${obis}`;
    if (!this.points.has(name)) throw new NotCovered(`there are no readings of ${obis} at ${node}`);
    if (!this.courses.has(name)) this.courses.set(name, new Course(this.points.get(name)));
    return this.courses.get(name);
  }

  /** What tiers add [10^-9 currency units]. What was counted before the period is taken as stated. */
  tiers(trace, tariff) {
    return sumOf(trace.tiers.map((piece) => this.tier(trace, tariff, piece)));
  }

  tier(trace, tariff, piece) {
    const inside = trace.spans
      .map(({ first, end }) => [first > piece.first ? first : piece.first, end < piece.end ? end : piece.end])
      .filter(([first, end]) => first < end);
    const amount = sumOf(inside.map(([first, end]) => this.counted(trace, first, end)));
    if (amount !== piece.amount) throw new LineWrong("its registers give another amount for its tiers", "由表码得出的阶梯电量与明细行不符");
    const band = this.statement.bands.findLast((one) => one.tariff === tariff && one.version === piece.version);
    if (band === undefined) throw new Malformed("tiers of a price that is not stated");
    const { upto, adds } = piece.tiers;
    if (adds.length !== upto.length + 1) throw new Malformed("not one price more than there are limits");
    const limits = upto.map((limit) => floored(limit * piece.part.over, piece.part.under));
    const upward = (reached) => adds.map((_, step) => partOf(reached, limits[step - 1] ?? 0n, limits[step] ?? null, step));
    const [after, before] = [upward(piece.before + amount), upward(piece.before)];
    return sumOf(adds.map((add, step) => priceOf({ ...band, rate: add }, after[step] - before[step])));
  }

  // Charges: steps of quantity x rate x part.

  charge(line, trace) {
    if (trace.of.length) {
      const taken = trace.of.map((id) => this.statement.lines.find((one) => one.id === id));
      if (taken.includes(undefined)) throw new LineWrong("it rests on lines that are not here", "所依据的明细行不在确认单中");
      const thousandths = floored(sumOf(taken.map(({ amount }) => amount)) * 1000n, 10n ** BigInt(minorDigits(this.statement.currency)));
      if (thousandths !== trace.steps[0]?.quantity) throw new LineWrong("the lines it rests on come to another amount", "所依据的明细行合计不符");
    }
    const amount = toMinor(stepsNano(trace.steps), this.statement.currency);
    return this.require(line, amount, { en: `${trace.steps.length} steps`, zh: `${trace.steps.length} 步计算` });
  }

  // Shares: |cost| x weight / total weight, cut down; 1 more where the remainder is among the largest.

  share(line, trace) {
    const pool = this.pool(line);
    if (pool.cost === null) throw new LineWrong("the statement does not say what its pool cost", "确认单没有说明费用池的总额");
    this.requireCost(pool);
    requireKeys(pool, trace);
    const product = magnitude(pool.cost) * trace.weight;
    const isWeighed = trace.total_weight !== 0n;
    const floor = isWeighed ? floored(product, trace.total_weight) : 0n;
    const remainder = isWeighed ? product - floor * trace.total_weight : 0n;
    requireOdd(line, trace, remainder);
    if (remainder !== trace.remainder) throw new LineWrong("its remainder is another", "余数不符");
    const amount = (floor + (trace.extra ? 1n : 0n)) * (pool.cost < 0n ? -1n : 1n);
    const weights = `${trace.weight} / ${trace.total_weight}`;
    return this.require(line, amount, { en: `${weights} of ${this.money(pool.cost)}`, zh: `${this.money(pool.cost)} × ${weights}` });
  }

  /** The steps of a charge, and what services received and passed on, make the cost of their pool. */
  requireCost(pool) {
    const own = pool.service === null ? pool.cost : pool.service.own;
    if (pool.charge !== null && toMinor(stepsNano(pool.steps), this.statement.currency) !== own) {
      throw new LineWrong("the steps of its charge give another cost", "费用的计算步骤得出另一总额");
    }
    if (pool.service === null) return;
    const { received, passed, cost } = pool.service;
    const flows = [...received.map(({ part }) => new Ratio(part.over, part.under)), ...passed.map(({ part }) => new Ratio(-part.over, part.under))];
    const rest = flows.reduce((sum, one) => sum.plus(one), new Ratio(own - cost));
    if (cost !== pool.cost || magnitude(rest.over) >= magnitude(rest.under)) {
      throw new LineWrong("what its pool received and passed on gives another cost", "费用池收到与转出的金额不符");
    }
  }

  // Losses: 2^-20 Wh by band x price, cut down; 1 more as above.

  loss(line, trace) {
    const { bands, currency } = this.statement;
    const lists = [trace.drawn_wh, trace.carried, trace.no_load, line.energy];
    if (lists.some((list) => list.length !== bands.length)) throw new Malformed("not one loss for each band");
    const quanta = trace.carried.map((one, band) => one + trace.no_load[band]);
    const fits = quanta.every((one, band) => [0n, 1n].includes(line.energy[band] - (one >> LOSS_BITS)));
    if (!fits) throw new LineWrong("its energy is not the loss that it states, rounded", "电量不是所述线损取整");
    const unit = nanoPerMinor(currency) << LOSS_BITS;
    const cost = sumOf(quanta.map((one, band) => one * bands[band].rate));
    const floor = floored(cost, unit);
    requireOdd(line, trace, cost - floor * unit);
    const lost = pointed(sumOf(line.energy), 3);
    return this.require(line, floor + (trace.extra ? 1n : 0n), { en: `${lost} kWh of loss`, zh: `线损 ${lost} kWh` });
  }
}

/** Base units at the price of a band [10^-9 currency units]. */
const priceOf = ({ rate, units }, amount) => rounded(amount * rate * 1000n * units.under, units.over);

const stepsNano = (steps) => sumOf(steps.map(({ quantity, rate, part }) => rounded(quantity * rate * part.over, part.under)));

/** How much of what was reached lies between two limits; what was given back lies in the first step. */
function partOf(reached, low, high, step) {
  if (reached <= low && step > 0) return 0n;
  return (high !== null && reached > high ? high : reached) - (step === 0 ? 0n : low);
}

/** The odd unit is the line's exactly if (remainder, then smaller id) reaches the cut. */
function requireOdd(line, trace, remainder) {
  if (trace.line_id !== line.ownId) throw new LineWrong("its trace is that of another line", "计算过程属于另一明细行");
  const { cut_remainder: cut, cut_id: last } = trace;
  const isBefore = remainder > cut || (remainder === cut && ordered(utf8(line.ownId), utf8(last)) <= 0);
  if ((last !== "" && isBefore) !== trace.extra) throw new LineWrong("the odd unit is not where its remainder puts it", "零头归属与余数不符");
}

/** The keys of a share divide to its weight; a fallback, where nobody had a weight, is taken as stated. */
function requireKeys(pool, trace) {
  if (!trace.keys.length || trace.total_weight === 0n || trace.keys.some(({ total }) => total === 0n)) return;
  const days = new Map();
  for (const { day, stage, part, weight, total } of trace.keys) {
    const stages = days.get(day) ?? days.set(day, new Map()).get(day);
    const one = new Ratio(part.over * weight, part.under * total);
    stages.set(stage, stages.has(stage) ? stages.get(stage).plus(one) : one);
  }
  const parts = new Map([...days].map(([day, stages]) => [day, [...stages.values()].reduce((product, one) => product.times(one))]));
  const found = parts.get(null) ?? overDays(pool, parts);
  if (!found.near(new Ratio(trace.weight, trace.total_weight), WEIGHT_CUT)) {
    throw new LineWrong("its keys divide to another weight", "分摊依据得出另一权重");
  }
}

/** Parts of each day's cost as one part of the whole cost. */
function overDays(pool, parts) {
  const costs = new Map(pool.days.map(({ day, cost_nano: cost }) => [day, magnitude(cost)]));
  const whole = sumOf([...costs.values()]);
  if (whole === 0n || [...parts.keys()].some((day) => !costs.has(day))) {
    throw new LineWrong("the statement does not say what its pool cost on each day", "确认单没有说明费用池每天的金额");
  }
  const sum = [...parts].map(([day, part]) => part.times(new Ratio(costs.get(day)))).reduce((one, other) => one.plus(other));
  return sum.times(new Ratio(1n, whole));
}
