// What a decoded item must look like. A shape is a function (item, name) that gives what it read, or throws Malformed.

import { Malformed } from "./octets.js";

const refuse = (name, wanted) => {
  throw new Malformed(`${name}: ${wanted} is missing`);
};

/** A whole number, both bounds included. */
export const whole = (least = null, most = null) => (item, name) => {
  const fits = typeof item === "bigint" && (least === null || item >= least) && (most === null || item <= most);
  return fits ? item : refuse(name, "a whole number");
};

export const text = (item, name) => (typeof item === "string" ? item : refuse(name, "a text"));

export const truth = (item, name) => (typeof item === "boolean" ? item : refuse(name, "yes or no"));

export const identifier = (item, name) =>
  typeof item === "string" && /^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/.test(item) ? item : refuse(name, "an identifier");

/** A day, `2026-07-01`. */
export const day = (item, name) => (typeof item === "string" && /^\d{4}-\d{2}-\d{2}$/.test(item) ? item : refuse(name, "a day"));

export const octetsOf = (length = null) => (item, name) =>
  item instanceof Uint8Array && (length === null || item.length === length) ? item : refuse(name, "octets");

export const some = (shape) => (item, name) => (item === null ? null : shape(item, name));

export const oneOf = (...words) => (item, name) => (words.includes(item) ? item : refuse(name, `one of ${words.join(", ")}`));

export const arrayOf = (shape) => (item, name) =>
  Array.isArray(item) ? item.map((one, at) => shape(one, `${name} ${at}`)) : refuse(name, "an array");

/** An array of as many items as there are names, each of its shape; gives an object. */
export const row = (shapes) => (item, name) => {
  const entries = Object.entries(shapes);
  if (!Array.isArray(item) || item.length !== entries.length) refuse(name, `an array of ${entries.length}`);
  return Object.fromEntries(entries.map(([key, shape], at) => [key, shape(item[at], `${name}, ${key}`)]));
};

/** A map with at least these keys; gives an object of them. */
export const record = (shapes) => (item, name) => {
  if (!(item instanceof Map)) refuse(name, "a map");
  return Object.fromEntries(
    Object.entries(shapes).map(([key, shape]) => {
      if (!item.has(key)) refuse(name, key);
      return [key, shape(item.get(key), `${name}, ${key}`)];
    }),
  );
};

/** A map from texts; gives its entries. */
export const mapOf = (shape) => (item, name) => {
  if (!(item instanceof Map)) refuse(name, "a map");
  return [...item].map(([key, one]) => [text(key, name), shape(one, `${name}, ${key}`)]);
};

/** A number of base units: a fraction above 0. */
export const units = (item, name) => row({ over: whole(1n), under: whole(1n) })(item, name);

/** A fraction as numerator and denominator above 0. */
export const fraction = (item, name) => {
  const { over, under } = row({ over: whole(), under: whole(1n) })(item, name);
  return { over, under };
};
