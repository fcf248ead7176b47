// The steps that convert the values of a column, and the rules that its values must follow: edited
// in place.

import { button, field, h, iconButton, replace, select } from "../dom.js";
import { t } from "../messages.js";

const JOINER = " | ";
const SHOWN_VALUES = 5;
const cases = () => [
  ["lower", t("small letters")],
  ["upper", t("capitals")],
  ["title", t("a capital for each word")],
];
const types = () => [
  ["number", t("a number")],
  ["integer", t("a whole number")],
  ["decimal", t("a number with fixed decimals")],
  ["text", t("text")],
  ["boolean", t("yes or no")],
];
const parts = () => [
  ["first", t("the first part")],
  ["last", t("the last part")],
];
const others = () => [
  ["reject", t("are rejected")],
  ["keep", t("stay as they are")],
  ["empty", t("become empty")],
];
const roundings = () => [
  ["half_even", t("half to even")],
  ["half_up", t("half up")],
];
const text = (name, label, usual) => ({ name, label, usual });
const choice = (name, label, options) => ({ name, label, options });

/** Operations in the order of the menu: their name, and the fields of their members. */
export const operations = () => ({
  trim: { label: t("Remove spaces around the value"), fields: [] },
  case: { label: t("Change letters"), fields: [choice("to", t("To"), cases())] },
  replace: {
    label: t("Replace text"),
    fields: [text("find", t("Find")), text("by", t("Replace by"), "")],
  },
  cast: {
    label: t("Read as another type"),
    fields: [
      choice("to", t("Type"), types()),
      { ...text("decimal", t("Decimal mark")), isOptional: true },
      { ...text("thousands", t("Thousands mark")), isOptional: true },
      { name: "scale", label: t("Decimals"), isNumber: true, isOptional: true },
    ],
  },
  date_format: {
    label: t("Rewrite dates"),
    fields: [text("from", t("From"), "%d.%m.%Y"), text("to", t("To"), "%Y-%m-%d")],
  },
  value_table: {
    label: t("Replace values by a table"),
    fields: [
      { name: "table", label: t("One line each: value = new value"), isTable: true },
      choice("otherwise", t("Other values"), others()),
    ],
  },
  default: { label: t("Fill empty cells"), fields: [text("value", t("With"))] },
  split: {
    label: t("Take a part"),
    fields: [text("separator", t("Separator"), " "), choice("part", t("Keep"), parts())],
  },
  join: { label: t("Join the columns"), fields: [text("separator", t("Separator"), " ")] },
  round: {
    label: t("Round"),
    fields: [
      { name: "scale", label: t("Decimals"), isNumber: true, usual: 2 },
      choice("rounding", t("Rounding"), roundings()),
    ],
  },
});

/** Returns a new step, with usual values. */
function newStep(operation) {
  const step = { operation };
  for (const each of operations()[operation].fields)
    if (each.isTable) step[each.name] = {};
    else if (each.options) step[each.name] = each.options[0][0];
    else if (!each.isOptional) step[each.name] = each.usual ?? "";
  return step;
}

/** Returns a table of values as text, and text as a table. */
export const tableText = (table) =>
  Object.entries(table)
    .map(([value, other]) => `${value} = ${other}`)
    .join("\n");
export function tableOf(lines) {
  const table = {};
  for (const line of lines.split("\n")) {
    const place = line.lastIndexOf(" = ");
    if (place >= 0) table[line.slice(0, place)] = line.slice(place + 3);
  }
  return table;
}

/** Edits `steps`, a list that this changes; `name` is that of their column. */
export function stepsEditor(steps, name, onchange) {
  const list = h("ol.step-list", { "aria-label": t("Steps of {name}", { name }) });
  const menu = select(
    [
      ["", t("Add a step …")],
      ...Object.entries(operations()).map(([key, { label }]) => [key, label]),
    ],
    "",
    { "aria-label": t("Add a step to {name}", { name }) },
  );
  menu.addEventListener("change", () => {
    if (!menu.value) return;
    steps.push(newStep(menu.value));
    menu.value = "";
    draw();
    onchange();
    list.lastElementChild?.querySelector("input, select, textarea")?.focus();
  });

  function control(step, each) {
    const change = (value) => {
      if (each.isOptional && value === "") delete step[each.name];
      else step[each.name] = value;
      onchange();
    };
    if (each.isTable)
      return h("textarea", {
        rows: 4,
        "aria-label": each.label,
        value: tableText(step[each.name] ?? {}),
        oninput: (event) => change(tableOf(event.target.value)),
      });
    if (each.options) {
      const control = select(each.options, step[each.name] ?? each.options[0][0], {
        "aria-label": each.label,
      });
      control.addEventListener("change", () => change(control.value));
      return control;
    }
    return h("input", {
      type: each.isNumber ? "number" : "text",
      "aria-label": each.label,
      value: step[each.name] ?? "",
      oninput: (event) =>
        change(
          each.isNumber && event.target.value !== ""
            ? Number(event.target.value)
            : event.target.value,
        ),
    });
  }

  function row(step, place) {
    const known = operations()[step.operation];
    const label = known?.label ?? step.operation;
    return h(
      "li",
      {},
      h(
        "div.row.between",
        {},
        h("b", {}, `${place + 1}. ${label}`),
        h(
          "span.row.tight",
          {},
          place > 0 &&
            button(
              t("Earlier"),
              () => {
                steps.splice(place - 1, 2, steps[place], steps[place - 1]);
                draw();
                onchange();
              },
              { kind: "link" },
            ),
          iconButton(
            "remove",
            t("Remove step {number} of {name}", { number: place + 1, name }),
            () => {
              steps.splice(place, 1);
              draw();
              onchange();
              menu.focus();
            },
          ),
        ),
      ),
      known &&
        known.fields.length > 0 &&
        h(
          "div.form",
          {},
          known.fields.map((each) => field(each.label, control(step, each))),
        ),
    );
  }

  const draw = () => replace(list, steps.map(row));
  draw();
  return h("div", {}, list, field(t("Steps"), menu));
}

// -------------------------------------------------------------------- rules

const kinds = () => [
  ["", t("anything")],
  ["integer", t("a whole number")],
  ["number", t("a number")],
  ["boolean", t("yes or no")],
];

/** Edits `rules`, an object that this changes: the rules of the column `name`. */
export function rulesEditor(rules, name, onchange) {
  const put = (member, value) => {
    if (value === "" || value === false || value === null) delete rules[member];
    else rules[member] = value;
    onchange();
  };
  const box = (member, label) =>
    h(
      "label.check",
      {},
      h("input", {
        type: "checkbox",
        checked: rules[member] ?? false,
        onchange: (event) => put(member, event.target.checked),
      }),
      label,
    );
  const input = (member, label, props = {}) =>
    field(
      label,
      h("input", {
        value: rules[member] ?? "",
        oninput: (event) => put(member, event.target.value),
        ...props,
      }),
    );
  const kind = select(kinds(), rules.type ?? "");
  kind.addEventListener("change", () => put("type", kind.value));
  return h(
    "fieldset.rules",
    {},
    h("legend", {}, t("Rules for {name}", { name })),
    h(
      "div.row",
      {},
      box("required", t("Each row must have a value")),
      box("unique", t("No value twice")),
    ),
    h(
      "div.form",
      {},
      field(t("Must be"), kind),
      input("min", t("At least")),
      input("max", t("At most")),
      input("pattern", t("Pattern (regular expression)")),
      field(
        t("One of"),
        h("input", {
          value: (rules.enum ?? []).join(JOINER),
          placeholder: t("values separated by |"),
          oninput: (event) => put("enum", listOf(event.target.value)),
        }),
      ),
    ),
  );
}

/** Returns the values of a text that separates them by bars; null if there are none. */
export function listOf(written) {
  const values = written
    .split("|")
    .map((value) => value.trim())
    .filter(Boolean);
  return values.length ? values : null;
}

/** A step of a conversion, in words. */
export function describe({ operation, ...rest }) {
  const names = {
    case: () => t("to {case} case", { case: rest.to }),
    cast: () => t("to {type}", { type: rest.to }),
    date_format: () => t("date {from} to {to}", { from: rest.from, to: rest.to }),
    split: () => t("{part} part at “{separator}”", { part: rest.part, separator: rest.separator }),
    join: () => t("joined by “{separator}”", { separator: rest.separator ?? " " }),
  };
  const name = names[operation]?.() ?? operations()[operation]?.label ?? operation;
  return rest.decide ? t("{step} (to be decided)", { step: name }) : name;
}

// -------------------------------------------------------------------- open choices

const NUMBERS = [
  ["en", "1,234.5"],
  ["de", "1.234,5"],
];
const LEFT_OUT = "left out";
const TAKEN = "taken";

/** The open choice of a step as {label, options}; null if there is none. */
export function question(step) {
  if (!step.decide) return null;
  const leaveOut = [LEFT_OUT, t("leave this step out")];
  if (step.lost)
    return {
      label: t("“{step}” does not keep all of {values}", {
        step: describe({ ...step, decide: false }),
        values: step.lost.slice(0, SHOWN_VALUES).join(", "),
      }),
      options: [[TAKEN, t("take it all the same")], leaveOut],
    };
  const values = (step.unknown ?? []).slice(0, SHOWN_VALUES).join(", ");
  const [label, options] = {
    date_format: [
      t("The dates are written"),
      (step.readings ?? []).map((reading) => [reading, reading]),
    ],
    cast: [t("The numbers are written like"), NUMBERS],
    value_table: [t("Values without a counterpart ({values})", { values }), others()],
  }[step.operation] ?? [t("The step “{step}”", { step: step.operation }), []];
  return { label, options: [...options, leaveOut] };
}

/** Returns the step with its choice, as a list of one or none. */
export function decided(step, choice) {
  if (!step.decide || !choice) return [step];
  const { decide, readings, unknown, suggested, lost, ...rest } = step;
  if (choice === LEFT_OUT) return [];
  if (choice === TAKEN) return [rest];
  if (step.operation === "date_format") return [{ ...rest, from: choice }];
  if (step.operation === "cast") {
    const marks = { de: [",", "."], en: [".", ","] }[choice];
    return [{ ...rest, decimal: marks[0], thousands: marks[1] }];
  }
  return [{ ...rest, otherwise: choice }];
}
