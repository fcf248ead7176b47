// One change for all rejects of a cause and a column: tried on all of them, shown before and after,
// and sent as one correction.

import * as api from "./api.js";
import { visible } from "./cells.js";
import { changed, correctionCsv } from "./changes.js";
import { button, field, h, replace, select } from "./dom.js";
import { count, plural } from "./format.js";
import { t } from "./messages.js";
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

/** Opens the dialog for `cause` {code, column, count}. `laidOut(reject)` -> its cells in the order of
 *  `header`. `follow(answer)`: the correction was accepted. */
export async function bulkFix({ path, id, cause, header, laidOut, follow }) {
  const place = header.indexOf(cause.column);
  if (place < 0) return;
  let rejects = null;
  const kind = select(CHANGES, "replace");
  const find = h("input", { maxlength: 500, spellcheck: "false" });
  const value = h("input", { maxlength: 500, spellcheck: "false" });
  const findField = field(t("Find"), find);
  const valueField = field(t("Replace by"), value);
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
      h(
        "h2",
        {},
        t("Fix {count} in {column}", {
          count: plural(cause.count, "reject"),
          column: cause.column,
        }),
      ),
      h("div.form", {}, field(t("Change"), kind), findField, valueField),
      preview,
      h(
        "div.row",
        {},
        send,
        button(t("Cancel"), () => dialog.close()),
      ),
    ),
  );
  const change = () => ({ kind: kind.value, find: find.value, value: value.value });

  /** The rows that the change would alter. */
  function altered() {
    return rejects
      .map((reject) => {
        const before = laidOut(reject);
        const after = changed(before[place], change());
        return { number: reject.row_number, before: before[place], after, before_cells: before };
      })
      .filter(({ before, after }) => before !== after);
  }

  function draw() {
    findField.hidden = kind.value !== "replace";
    valueField.hidden = !["replace", "set"].includes(kind.value);
    if (!rejects) return;
    const rows = altered();
    send.disabled = !rows.length;
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
      rejects.length < cause.count &&
        h(
          "p.muted",
          {},
          t(
            "{count} are left out here: too long, not readable as text, or beyond the first {most}.",
            {
              count: count(cause.count - rejects.length),
              most: count(MOST),
            },
          ),
        ),
      rows.length > 0 &&
        h(
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
                [t("Row"), t("Before"), t("After")].map((each) => h("th", { scope: "col" }, each)),
              ),
            ),
            h(
              "tbody",
              {},
              rows
                .slice(0, SHOWN)
                .map(({ number, before, after }) =>
                  h(
                    "tr",
                    {},
                    h("td.num", {}, count(number)),
                    h("td", {}, h("code", {}, visible(before) || t("(empty)"))),
                    h("td", {}, h("code", {}, visible(after) || t("(empty)"))),
                  ),
                ),
            ),
          ),
        ),
    );
  }

  async function read() {
    const found = [];
    let after = 0;
    while (after !== null && found.length < MOST) {
      const { code, column } = cause;
      const page = await api.get(api.query(path, { code, column, after, limit: AT_ONCE }));
      found.push(...page.items.filter(isWhole));
      after = page.next_after;
    }
    rejects = found.slice(0, MOST);
    draw();
  }

  async function submit() {
    const rows = altered().map(({ number, before_cells: cells, after }) => ({
      number,
      cells: cells.map((cell, i) => (i === place ? after : cell)),
    }));
    send.disabled = true;
    try {
      const target = `/api/v1/files/${encodeURIComponent(id)}/corrections?formula_guard=false`;
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

  for (const control of [kind, find, value]) control.addEventListener("input", draw);
  document.body.append(dialog);
  dialog.showModal();
  draw();
  find.focus();
  await read().catch((error) => (dialog.close(), fail(error)));
}
