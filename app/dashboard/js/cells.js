// The cells of a table: their texts, the type of a column by its cells, and its small picture.

import { svg } from "./dom.js";
import { number, percent } from "./format.js";
import { t } from "./messages.js";

/** Returns a text with symbols for control characters, which have no shape: ␀ for NUL. */
export const visible = (text) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
  text?.replace(/[\x00-\x08\x0b-\x1f]/g, (char) =>
    String.fromCharCode(0x2400 + char.charCodeAt(0)),
  ) ?? null;

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const MOMENT =
  /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const BINS = 8;

export function cellText(value) {
  if (value === null || value === undefined) return null;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Whether a text is a number. One with leading zeros is a code, which is a text. */
export const isNumber = (text) => NUMBER.test(text);
export const isMoment = (text) => MOMENT.test(text);

/** Returns the type of a column by some of its cells: number, date, text or empty. */
export function typeOf(texts) {
  const filled = texts.filter((text) => text !== null && text !== "");
  if (!filled.length) return "empty";
  if (filled.every(isNumber)) return "number";
  return filled.every(isMoment) ? "date" : "text";
}

export const TYPE_NAMES = {
  number: t("number"),
  integer: t("whole number"),
  decimal: t("decimal number"),
  float: t("number"),
  date: t("date"),
  datetime: t("date and time"),
  boolean: t("yes or no"),
  text: t("text"),
  empty: t("empty"),
};

/** Returns the shares of numbers in bins of equal width, and their edges; null for fewer than two
 *  values. */
export function histogram(numbers) {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  if (!(most > least)) return null;
  const shares = Array(BINS).fill(0);
  for (const value of numbers) {
    const bin = Math.min(BINS - 1, Math.floor((BINS * (value - least)) / (most - least)));
    shares[bin] += 1 / numbers.length;
  }
  return { edges: [least, most], shares };
}

/** Draws the distribution of a column. */
export function smallBars(name, { edges, shares }) {
  const most = Math.max(...shares);
  const width = 100 / shares.length;
  const label = t("Distribution of {name} from {from} to {to}", {
    name,
    from: number(edges[0]),
    to: number(edges.at(-1)),
  });
  return svg(
    "svg.small-bars",
    { viewBox: "0 0 100 16", preserveAspectRatio: "none", role: "img", "aria-label": label },
    shares.map((share, i) =>
      svg(
        "rect.accent",
        {
          x: i * width,
          width: width * 0.85,
          y: 16 - Math.max(share ? 1 : 0, (16 * share) / most),
          height: Math.max(share ? 1 : 0, (16 * share) / most),
        },
        svg("title", {}, percent(share)),
      ),
    ),
  );
}

/** Returns rows as text for a spreadsheet: tabs between cells, lines between rows. */
export const asTabs = (rows) =>
  rows
    .map((cells) => cells.map((cell) => (cell ?? "").replace(/[\t\r\n]+/g, " ")).join("\t"))
    .join("\n");

/** Returns row numbers as ranges: `3,10-12`. */
export function asRanges(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const ranges = [];
  for (const each of sorted) {
    const last = ranges.at(-1);
    if (last && each === last[1] + 1) last[1] = each;
    else ranges.push([each, each]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
