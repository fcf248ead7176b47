// The cells of a rejected row while it is corrected. A row of the wrong shape has cells that are a
// guess (`uncertain`): it runs only after somebody has decided about each of them.

import { plural } from "./format.js";
import { t } from "./messages.js";
import { joined } from "./shapes.js";

const NAMED_COLUMNS = 5;

/** Returns an edit of a reject {row_number, cells, uncertain} that has no changes yet. `extra` are
 *  the cells beyond the columns once they were changed. */
export const newEdit = (reject) => ({ reject, values: new Map(), extra: null });

export const isChanged = ({ values, extra, record }) =>
  record !== undefined || values.size > 0 || extra !== null;

/** Returns the cells of the columns, without changes: a missing one is empty. */
export const ownCells = (reject, header) => header.map((_, i) => reject.cells[i] ?? "");

/** Returns the cells beyond the columns, with the changes. */
export const extraCells = ({ reject, extra }, header) => extra ?? reject.cells.slice(header.length);

/** Returns the cell of a column, with the changes. */
export const cellAt = ({ reject, values }, header, i) =>
  values.get(header[i]) ?? reject.cells[i] ?? "";

/** Returns the uncertain columns that nobody has decided about. */
function undecided({ reject, values, extra }, header) {
  const last = header.at(-1);
  return reject.uncertain.filter((name) => {
    if (values.has(name)) return false;
    return name !== last || extra === null || reject.cells.length < header.length;
  });
}

/** Returns the decisions that are left for a row as [{kind, label}]. `delimiter` of the file. */
export function decisions(edit, header) {
  const { cells } = edit.reject;
  const open = undecided(edit, header);
  const found = [];
  if (
    extraCells(edit, header).some((cell) => cell !== "") ||
    (open.length && cells.length > header.length)
  ) {
    found.push({ kind: "join", label: t("Join the extra cells into") });
    found.push({ kind: "drop", label: t("Drop the extra cells") });
  } else if (open.some((name) => header.indexOf(name) >= cells.length)) {
    found.push({ kind: "keep", label: t("Leave the missing cells empty") });
  } else if (open.length) {
    found.push({ kind: "keep", label: t("Take the cells as shown") });
  }
  return found;
}

/** Makes a decision for a row. `join` joins the extra cells into the column at `place`. */
export function decide(edit, header, kind, { place = 0, delimiter = "" } = {}) {
  const own = header.map((_, i) => cellAt(edit, header, i));
  const extra = extraCells(edit, header);
  for (const name of edit.reject.uncertain) edit.values.set(name, own[header.indexOf(name)]);
  if (kind === "join") {
    const left = extra.filter((cell) => edit.extra === null || cell !== "");
    const cells = joined([...own, ...left], header.length, place, delimiter);
    header.slice(place).forEach((name, i) => edit.values.set(name, cells[place + i]));
  }
  if (extra.length) edit.extra = extra.map(() => "");
}

/** Returns why a row cannot run yet, in a sentence; "" if it can. */
export function refusal(edit, header) {
  if (edit.record !== undefined) return "";
  const number = edit.reject.row_number;
  const extra = extraCells(edit, header).filter((cell) => cell !== "");
  if (extra.length)
    return t("Row {number} has {cells} without a column: join, drop or empty them.", {
      number,
      cells: plural(extra.length, "cell"),
    });
  const open = undecided(edit, header);
  if (!open.length) return "";
  const columns = open.slice(0, NAMED_COLUMNS).join(", ");
  if (open.some((name) => header.indexOf(name) >= edit.reject.cells.length))
    return t("Row {number} has no cell for {columns}: fill them in, or leave them empty.", {
      number,
      columns,
    });
  return t("Row {number} has cells that are a guess, in {columns}: correct or take them.", {
    number,
    columns,
  });
}

/** Returns the row of a request: changed cells, and those that were decided. */
export function patchOf(edit, header) {
  const { reject, values, record } = edit;
  const row = { _row: reject.row_number };
  if (record !== undefined) return { ...row, record };
  const decided = reject.uncertain.map((name) => [
    name,
    cellAt(edit, header, header.indexOf(name)),
  ]);
  return { ...row, values: Object.fromEntries([...decided, ...values]) };
}
