// Targets: the columns that are wanted, saved to map files onto them.

import * as api from "../api.js";
import { announce, button, field, h, iconButton, replace, select } from "../dom.js";
import { t } from "../messages.js";
import { fail, toast } from "../toast.js";
import { listOf } from "./steps.js";

const SAMPLED_ROWS = 5;
const JOINER = " | ";
const types = () => [
  ["text", t("text")],
  ["number", t("number")],
  ["date", t("date")],
  ["boolean", t("yes or no")],
];

/** Returns {columns, types, samples} of a stored file, by its first rows. */
export async function beginningOf(fileId) {
  const answer = await api.post(
    api.query("/api/v1/preview", { file_id: fileId, rows: SAMPLED_ROWS }),
  );
  const cellOf = (row, place, name) => (Array.isArray(row.data) ? row.data[place] : row.data[name]);
  const samples = answer.columns.map((name, place) => {
    const values = answer.rows.map((row) => cellOf(row, place, name));
    return [
      ...new Set(values.filter((value) => value !== null && value !== undefined && value !== "")),
    ]
      .map((value) => (typeof value === "string" ? value : JSON.stringify(value)).slice(0, 200))
      .slice(0, 3);
  });
  return { columns: answer.columns, types: answer.types, samples };
}

/** The editor of a new target. `files` are [[id, label], ...]; `onsaved` gets the template. */
export function targetEditor(files, onsaved) {
  let columns = [];
  const name = h("input", { required: true, maxlength: 200, placeholder: t("Our price list") });
  const source = select([["", t("by hand")], ...files], "");
  const list = h("div.target-columns", { role: "group", "aria-label": t("Columns of the target") });

  const blank = () => ({ name: "", type: "text", required: false, values: [] });

  function row(column, place) {
    const label = (what) => t("{what} of column {number}", { what, number: place + 1 });
    const type = select(types(), column.type, { "aria-label": label(t("Type")) });
    type.addEventListener("change", () => (column.type = type.value));
    return h(
      "div.target-column",
      {},
      h("input", {
        value: column.name,
        required: true,
        maxlength: 1000,
        placeholder: t("Name"),
        "aria-label": label(t("Name")),
        oninput: (event) => (column.name = event.target.value),
      }),
      type,
      h("input", {
        value: column.values.join(JOINER),
        placeholder: t("Values, separated by |"),
        "aria-label": label(t("Values")),
        oninput: (event) => (column.values = (listOf(event.target.value) ?? []).slice(0, 20)),
      }),
      h(
        "label.check",
        {},
        h("input", {
          type: "checkbox",
          checked: column.required,
          "aria-label": label(t("Required")),
          onchange: (event) => (column.required = event.target.checked),
        }),
        t("required"),
      ),
      iconButton("remove", t("Remove column {number}", { number: place + 1 }), () => {
        columns.splice(place, 1);
        draw();
      }),
    );
  }
  const draw = () => replace(list, columns.map(row));

  async function fill() {
    if (!source.value) return;
    try {
      const known = await beginningOf(source.value);
      columns = known.columns.map((column, place) => ({
        name: column,
        type: known.types[place]?.type ?? "text",
        required: false,
        values: known.samples[place],
      }));
      draw();
      announce(t("The columns are filled in"));
    } catch (error) {
      fail(error);
    }
  }
  source.addEventListener("change", fill);

  async function save(event) {
    event.preventDefault();
    try {
      const saved = await api.post("/api/v1/templates", {
        name: name.value.trim(),
        target: columns,
      });
      toast(t("Saved as {name}", { name: saved.name }), {
        detail: t("Choose it as the target of a mapping."),
      });
      onsaved(saved);
    } catch (error) {
      fail(error);
    }
  }

  columns = [blank()];
  draw();
  return h(
    "form.card.form.target",
    { onsubmit: save, "aria-label": t("New target") },
    h("h2", {}, t("New target")),
    h(
      "p.muted",
      {},
      t(
        "The columns that you want. Values show the form that they are to have, such as 2024-02-03.",
      ),
    ),
    field(t("Name of the target"), name),
    field(t("Columns"), source, t("Take them from a file, or write them by hand.")),
    list,
    h(
      "div.form-end",
      {},
      button(t("Add a column"), () => {
        columns.push(blank());
        draw();
        list.lastElementChild.querySelector("input").focus();
      }),
      button(t("Save the target"), null, { kind: "primary", type: "submit" }),
    ),
  );
}
