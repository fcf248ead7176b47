// The bar above a table: search, conditions, and their text for the service.

import { button, h, icon, replace, select } from "./dom.js";
import { isMoment, isNumber } from "./cells.js";
import { t } from "./messages.js";

export const OPERATORS = [
  ["contains", t("contains")],
  ["not contains", t("does not contain")],
  ["=", t("is")],
  ["!=", t("is not")],
  [">", t("is more than")],
  [">=", t("is at least")],
  ["<", t("is less than")],
  ["<=", t("is at most")],
  ["is empty", t("is empty")],
  ["is not empty", t("is not empty")],
];
const NAMES = Object.fromEntries(OPERATORS);
export const hasValue = (operator) => !operator.endsWith("empty");

/** A number with a decimal comma, which compares by its value in a column of such numbers. */
const DECIMAL_COMMA = /^-?(?:0|[1-9]\d*),\d+$/;

/** Returns a condition {column, operator, value} as the service reads it. Numbers and moments are
 *  not quoted, so that they compare by their value. */
export function conditionText({ column, operator, value }) {
  const name = `"${column.replaceAll('"', '""')}"`;
  if (!hasValue(operator)) return `${name} ${operator}`;
  const isValue =
    !operator.includes("contains") &&
    (isNumber(value) || isMoment(value) || DECIMAL_COMMA.test(value));
  const quoted = isValue ? value.replace(" ", "T") : `'${value.replaceAll("'", "''")}'`;
  return `${name} ${operator} ${quoted}`;
}

/** Conditions are kept in the address as JSON: [column, operator, value]. */
export const packed = ({ column, operator, value }) => JSON.stringify([column, operator, value]);
export function unpacked(text) {
  try {
    const [column, operator, value] = JSON.parse(text);
    if (typeof column !== "string" || !(operator in NAMES)) return null;
    return { column, operator, value: String(value ?? "") };
  } catch {
    return null; // an address that a person has edited
  }
}

/** A form that adds a condition, with the conditions as chips. `onchange(conditions)`. */
export function conditionBar(columns, onchange) {
  let conditions = [];
  const column = select(
    columns.map((name) => [name, name]),
    columns[0],
    { "aria-label": t("Column") },
  );
  const operator = select(OPERATORS, "contains", { "aria-label": t("Comparison") });
  const value = h("input", { "aria-label": t("Value"), maxlength: 500, spellcheck: "false" });
  const chips = h("ul.filter-chips", { "aria-label": t("Filters") });
  operator.addEventListener("change", () => (value.hidden = !hasValue(operator.value)));
  const form = h(
    "form.row.filter-form",
    {
      "aria-label": t("Add a filter"),
      onsubmit: (event) => {
        event.preventDefault();
        if (hasValue(operator.value) && !value.value) return value.focus();
        const added = { column: column.value, operator: operator.value, value: value.value };
        value.value = "";
        change([...conditions, added]);
      },
    },
    column,
    operator,
    value,
    button(t("Add filter"), null, { type: "submit" }),
  );
  function change(next) {
    show(next);
    onchange(next);
  }
  function show(next) {
    conditions = next;
    chips.hidden = !conditions.length;
    replace(
      chips,
      conditions.map((condition) => {
        const words = [condition.column, NAMES[condition.operator], condition.value].join(" ");
        return h(
          "li",
          {},
          h(
            "button.chip",
            {
              type: "button",
              "aria-label": t("Remove the filter {words}", { words }),
              onclick: () => change(conditions.filter((each) => each !== condition)),
            },
            h("span.clip", {}, words),
            icon("close"),
          ),
        );
      }),
    );
  }
  show([]);
  return {
    form,
    chips,
    show,
    /** Offers a filter by a cell. */
    offer(name, text) {
      if (form.parentNode.open === false) form.parentNode.open = true;
      column.value = name;
      operator.value = text ? "=" : "is empty";
      value.hidden = !text;
      value.value = text ?? "";
      (text ? value : operator).focus();
    },
  };
}

/** A search field that calls `onchange(text)` once the person has stopped typing. */
export function searchField(label, onchange) {
  let timer = null;
  let last = "";
  const input = h("input", {
    type: "search",
    placeholder: label,
    "aria-label": label,
    maxlength: 500,
  });
  const tell = () => {
    clearTimeout(timer);
    timer = null;
    if (input.value === last) return;
    last = input.value;
    onchange(last);
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(tell, 500);
  });
  input.addEventListener("change", tell);
  return {
    input,
    show(text) {
      if (timer !== null) return; // still being typed
      last = text;
      input.value = text;
    },
    stop: () => clearTimeout(timer),
  };
}

/** Which columns are shown, and which stay at the left. `onchange({hidden, pinned})`. */
export function columnPanel(columns, onchange) {
  let [hidden, pinned] = [new Set(), new Set()];
  const list = h("ul.column-list");
  const switches = (name, set, label, isOn) =>
    h(
      "label.inline",
      {},
      h("input", {
        type: "checkbox",
        checked: isOn,
        "aria-label": `${name}: ${label}`,
        onchange: (event) => {
          const isAdded = set === hidden ? !event.target.checked : event.target.checked;
          if (isAdded) set.add(name);
          else set.delete(name);
          onchange({ hidden: [...hidden], pinned: [...pinned] });
        },
      }),
      label,
    );
  const node = h(
    "details.column-panel",
    {},
    h("summary", {}, t("Columns")),
    h(
      "div.row",
      {},
      button(t("Show all"), () => {
        show({ hidden: [], pinned: [...pinned] });
        onchange({ hidden: [], pinned: [...pinned] });
      }),
    ),
    list,
  );
  function show(chosen) {
    hidden = new Set(chosen.hidden);
    pinned = new Set(chosen.pinned);
    replace(
      list,
      columns.map((name) =>
        h(
          "li",
          {},
          h("span.clip", { title: name }, name),
          switches(name, hidden, t("shown"), !hidden.has(name)),
          switches(name, pinned, t("pinned"), pinned.has(name)),
        ),
      ),
    );
  }
  show({ hidden: [], pinned: [] });
  return { node, show };
}

/** A labelled choice of the order. `onchange("name" or "-name" or "")`. */
export function sortChoice(columns, onchange) {
  const control = select(
    [
      ["", t("Order of the file")],
      ...columns.flatMap((name) => [
        [name, `${name} ↑`],
        [`-${name}`, `${name} ↓`],
      ]),
    ],
    "",
    { "aria-label": t("Sort by") },
  );
  control.addEventListener("change", () => onchange(control.value));
  return { node: control, show: (sort) => (control.value = sort) };
}
