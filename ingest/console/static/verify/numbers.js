// Exact numbers: whole ones, fractions of them, and money rounded once. No float comes near an amount.

import { Malformed } from "./octets.js";

/** Digits of the minor unit of each currency that statements are written in (ISO 4217). */
const MINOR_DIGITS = new Map([["CNY", 2], ["USD", 2], ["EUR", 2], ["GBP", 2], ["HKD", 2], ["JPY", 0], ["KRW", 0]]);

export const sumOf = (numbers) => numbers.reduce((sum, one) => sum + one, 0n);
export const magnitude = (number) => (number < 0n ? -number : number);

/** The largest whole number that is not above a quotient. BigInt division cuts towards zero. */
export function floored(over, under) {
  const whole = over / under;
  return over % under !== 0n && over < 0n !== under < 0n ? whole - 1n : whole;
}

/** A quotient to the nearest whole number, halves away from zero; `under` is above zero. */
export function rounded(over, under) {
  const whole = (2n * magnitude(over) + under) / (2n * under);
  return over < 0n ? -whole : whole;
}

/** over / under, in whole numbers; never reduced, never divided. */
export class Ratio {
  constructor(over, under = 1n) {
    this.over = over;
    this.under = under;
  }

  plus(other) {
    return new Ratio(this.over * other.under + other.over * this.under, this.under * other.under);
  }

  times(other) {
    return new Ratio(this.over * other.over, this.under * other.under);
  }

  /** Whether the other is at most over / under away. */
  near(other, by) {
    const apart = this.plus(new Ratio(-other.over, other.under));
    return magnitude(apart.over) * by.under <= by.over * magnitude(apart.under);
  }
}

export function minorDigits(currency) {
  if (!MINOR_DIGITS.has(currency)) throw new Malformed(`currency ${currency} is not known here`);
  return MINOR_DIGITS.get(currency);
}

/** How many 10^-9 currency units a minor unit is. */
export const nanoPerMinor = (currency) => 10n ** BigInt(9 - minorDigits(currency));

/** 10^-9 currency units as minor units: the one rounding of an amount. */
export const toMinor = (nano, currency) => rounded(nano, nanoPerMinor(currency));

/** A whole number with `digits` of its digits behind the point. */
export function pointed(number, digits) {
  const shown = magnitude(number).toString().padStart(digits + 1, "0");
  const sign = number < 0n ? "-" : "";
  return digits ? `${sign}${shown.slice(0, -digits)}.${shown.slice(-digits)}` : sign + shown;
}

/** An amount of money as people write it, `90.26 CNY`. */
export const money = (minor, currency) => `${pointed(minor, minorDigits(currency))} ${currency}`;

/** Base units of what was metered, in the unit people know. */
export function amountShown(amount, measure) {
  if (measure === "import" || measure === "net") return `${pointed(amount, 3)} kWh`;
  const decimals = pointed(amount, 6).replace(/(\.\d{3}\d*?)0+$/, "$1");
  return `${decimals} ${measure === "heat" ? "GJ" : "m³"}`;
}
