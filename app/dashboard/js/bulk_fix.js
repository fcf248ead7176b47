// One change for all rejects of a cause: tried on all of them, shown before and after, and sent as
// one correction. It changes the values of a column, or the shape of rows.

import * as api from "./api.js";
import { visible } from "./cells.js";
import { changed, correctionCsv } from "./changes.js";
import { button, field, h, replace, select } from "./dom.js";
import { count, plural } from "./format.js";
import { t } from "./messages.js";
import { reasonName } from "./reasons.js";
import { ownCells } from "./reject_cells.js";
import { isShape, kindsFor, reshaped } from "./shapes.js";
import { fail } from "./toast.js";

/** Rejects that one correction of this page has at most: they are in memory. */
const MOST = 50_000;
const AT_ONCE = 10_000;
const SHOWN = 8;
/** Rejects have this much of a row; a longer one cannot be sent as a whole. */
const MOST_RAW_BYTES = 65_536;

const CHANGES = [
  ["replace", t("Find and replace within the value")],
  ["set", t("Set the same value")],
  ["trim", t("Remove spaces at both ends")],
  ["digits", t("Keep only digits, sign and point")],
];

/** Whether all of a reject is text that can be sent back. */
const isWhole = ({ raw, byte_start, byte_end }) =>
  raw !== null && byte_end - byte_start <= MOST_RAW_BYTES;
/** Whether each other column has a cell of its own, so that only this one changes. */
const hasItsShape = ({ cells, uncertain }, header, column) =>
  cells.length <= header.length && uncertain.every((name) => name === column);

/** What a plan is: `title`; `fields` of the form; `controls` that change it; `fits(reject)` says
 *  which rejects it can change; `ready(rejects)` is called once they are read, `redraw()` at each
 *  change; `change(reject)` returns {before, after, cells}, or null if the reject stays as it is;
 *  `leftOut` says why some do not fit; `runsUnchanged` runs rows as the download shows them. */

/** A change of the values in the column of a cause. */
function valuePlan(cause, header) {
  const place = header.indexOf(cause.column);
  const kind = select(CHANGES, "replace");
  const find = h("input", { maxlength: 500, spellcheck: "false" });
  const value = h("input", { maxlength: 500, spellcheck: "false" });
  const findField = field(t("Find"), find);
  const valueField = field(t("Replace by"), value);
  return {
    title: t("Fix {count} in {column}", {
      count: plural(cause.count, "reject"),
      column: cause.column,
    }),
    fields: [field(t("Change"), kind), findField, valueField],
    controls: [kind, find, value],
    first: find,
    filter: { code: cause.code, column: cause.column },
    leftOut: t("of the wrong shape, too long, or not readable as text"),
    runsUnchanged: false,
    fits: (reject) => hasItsShape(reject, header, cause.column),
    ready() {},
    redraw() {
      findField.hidden = kind.value !== "replace";
      valueField.hidden = !["replace", "set"].includes(kind.value);
    },
    change(reject) {
      const cells = ownCells(reject, header);
      const before = cells[place];
      const after = changed(before, { kind: kind.value, find: find.value, value: value.value });
      if (before === after) return null;
      return { before, after: [after], cells: cells.with(place, after) };
    },
  };
}

/** A change of the shape of rows. */
function shapePlan(cause, header, { delimiter, isFixed }) {
  const kind = select([["join", t("Reading …")]], "join");
  const column = select(
    header.map((name, i) => [i, name]),
    header.length - 1,
  );
  const between = h("input", { maxlength: 20, value: delimiter, spellcheck: "false" });
  const columnField = field(
    t("Column"),
    column,
    t("The cells behind it move back under their columns."),
  );
  const betweenField = field(t("Between the cells"), between);
  return {
    title: t("Fix {count}: {reason}", {
      count: plural(cause.count, "reject"),
      reason: reasonName(cause.code),
    }),
    fields: [h("div.whole", {}, field(t("Change"), kind)), columnField, betweenField],
    controls: [kind, column, between],
    first: kind,
    filter: { code: cause.code },
    leftOut: t("too long, or not readable as text"),
    runsUnchanged: true,
    fits: () => true,
    ready(rejects) {
      const kinds = kindsFor(rejects, header.length, isFixed);
      const options = kinds.map(([name, label, number]) =>
        h("option", { value: name }, `${label} (${count(number)})`),
      );
      if (options.length) replace(kind, options);
    },
    redraw() {
      columnField.hidden = betweenField.hidden = kind.value !== "join";
    },
    change(reject) {
      const cells = reshaped(reject, header.length, {
        kind: kind.value,
        place: Number(column.value),
        delimiter: between.value,
      });
      return cells && { before: reject.raw, after: cells, cells };
    },
  };
}

/** Shows texts, each as one cell. */
const shownCells = (cells) =>
  cells.map((cell) => [h("code.one-cell", {}, visible(cell) || t("(empty)")), " "]);

/** Draws changed rows [{number, before, after}], before and after. */
export function beforeAndAfter(rows) {
  const heads = [t("Row"), t("Before"), t("After")];
  return h(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": t("Before and after") },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((each) => h("th", { scope: "col" }, each)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(({ number, before, after }) =>
          h(
            "tr",
            {},
            h("td.num", {}, count(number)),
            h("td", {}, shownCells([before])),
            h("td", {}, shownCells(after)),
          ),
        ),
      ),
    ),
  );
}

/** Opens the dialog for `cause` {code, column, count}; a cause of shape is for all columns.
 *  `dialect` {delimiter, isFixed} of the file. `follow(answer)`: the correction was accepted. */
export async function bulkFix({ path, id, cause, header, dialect, follow }) {
  const plan = isShape(cause.code) ? shapePlan(cause, header, dialect) : valuePlan(cause, header);
  let rejects = null;
  const preview = h("div", { role: "status" }, t("Reading the rejects …"));
  const send = button(t("Correct and run again"), null, {
    kind: "primary",
    type: "submit",
    disabled: true,
  });
  const dialog = h(
    "dialog.card.sheet.small",
    { "aria-label": t("Fix all like this"), onclose: () => dialog.remove() },
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          submit().catch(fail);
        },
      },
      h("h2", {}, plan.title),
      h("div.form", {}, plan.fields),
      preview,
      h(
        "div.row",
        {},
        send,
        button(t("Cancel"), () => dialog.close()),
      ),
    ),
  );

  /** The rows that the change would alter. */
  function altered() {
    return rejects
      .map((reject) => ({ number: reject.row_number, ...plan.change(reject) }))
      .filter(({ cells }) => cells);
  }

  function draw() {
    plan.redraw();
    if (!rejects) return;
    const rows = altered();
    send.disabled = !rows.length;
    const left = cause.count - rejects.length;
    replace(
      preview,
      h(
        "p",
        {},
        t("{changed} of {all} would change.", {
          changed: count(rows.length),
          all: plural(cause.count, "reject"),
        }),
      ),
      left > 0 &&
        h(
          "p.muted",
          {},
          t("{count} are left out here: {why}, or beyond the first {most}.", {
            count: count(left),
            why: plan.leftOut,
            most: count(MOST),
          }),
        ),
      rows.length > 0 && beforeAndAfter(rows.slice(0, SHOWN)),
    );
  }

  async function read() {
    const found = [];
    let after = 0;
    while (after !== null && found.length < MOST) {
      const wanted = { ...plan.filter, after, limit: AT_ONCE, cells: true };
      const page = await api.get(api.query(path, wanted));
      found.push(...page.items.filter((reject) => isWhole(reject) && plan.fits(reject)));
      after = page.next_after;
    }
    rejects = found.slice(0, MOST);
    plan.ready(rejects);
    draw();
  }

  async function submit() {
    const rows = altered();
    send.disabled = true;
    try {
      const target = api.query(`/api/v1/files/${encodeURIComponent(id)}/corrections`, {
        formula_guard: false,
        run_unchanged: plan.runsUnchanged || null,
      });
      const made = await api.request("POST", target, {
        body: correctionCsv(header, rows),
        headers: { "Content-Type": "text/csv" },
      });
      dialog.close();
      follow(made);
    } finally {
      send.disabled = false;
    }
  }

  for (const control of plan.controls) control.addEventListener("input", draw);
  document.body.append(dialog);
  dialog.showModal();
  draw();
  plan.first.focus();
  await read().catch((error) => (dialog.close(), fail(error)));
}
