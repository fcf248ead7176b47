// Changes of rows of the wrong shape: each gives a row a cell for each of its columns.

import { t } from "./messages.js";

/** Codes of rejects that have the wrong shape. */
const CODES = new Set([
  "column_count",
  "csv_bad_quote",
  "csv_unclosed_quote",
  "line_too_long",
  "line_too_short",
  "text_between_columns",
]);
export const isShape = (code) => CODES.has(code);

/** Returns a row of too many cells with the extra ones joined into the cell at `place`, so that the
 *  cells behind move back under their columns. */
export function joined(cells, width, place, delimiter) {
  const end = place + cells.length - width + 1;
  return [...cells.slice(0, place), cells.slice(place, end).join(delimiter), ...cells.slice(end)];
}

const isBlank = (cell) => cell.trim() === "";

/** The changes by kind: `reshape(reject, width, {place, delimiter})` returns the new cells, or null
 *  for a row that it does not fit. */
const RESHAPES = {
  join: ({ cells }, width, { place, delimiter }) =>
    cells.length > width ? joined(cells, width, place, delimiter) : null,
  drop: ({ cells }, width) =>
    cells.length > width && cells.slice(width).every(isBlank) ? cells.slice(0, width) : null,
  fill: ({ cells }, width) =>
    cells.length < width ? [...cells, ...Array(width - cells.length).fill("")] : null,
  take: ({ cells, uncertain }, width) =>
    cells.length === width && uncertain.length ? [...cells] : null,
};

/** Returns the changed cells of a reject, or null if the change does not fit it. */
export const reshaped = (reject, width, { kind, place, delimiter }) =>
  RESHAPES[kind](reject, width, { place, delimiter });

/** Returns the kinds of changes that fit any of the rejects as [kind, words, number], the most
 *  frequent first. */
export function kindsFor(rejects, width, isFixed) {
  const words = {
    join: t("Join the extra cells into one column"),
    drop: t("Drop blank cells at the end"),
    fill: t("Fill missing cells at the end with empty"),
    take: isFixed
      ? t("Take the cells as shown")
      : t("Read quotes in the wrong place as ordinary characters"),
  };
  const fits = (kind) => (reject) =>
    reshaped(reject, width, { kind, place: width - 1, delimiter: "" }) !== null;
  return Object.entries(words)
    .map(([kind, label]) => [kind, label, rejects.filter(fits(kind)).length])
    .filter(([, , number]) => number > 0)
    .sort((a, b) => b[2] - a[2]);
}
