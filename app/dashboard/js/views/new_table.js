// The columns of a table that a load will make: proposed by an analysis, and changed by a person.

import { h, select } from "../dom.js";
import { t } from "../messages.js";
import { grid } from "../parts.js";

const TYPES = {
  postgresql: [
    "text",
    "bigint",
    "integer",
    "numeric",
    "numeric(12,2)",
    "double precision",
    "boolean",
    "date",
    "timestamp without time zone",
    "timestamp with time zone",
    "uuid",
    "jsonb",
  ],
  sqlite: ["TEXT", "INTEGER", "REAL"],
};

const number = (decimal, thousands) => [
  { operation: "cast", to: "number", decimal, ...(thousands && { thousands }) },
];

/** Choices of a column of the analysis, the proposal first: {label, type, steps}. `proposed` is its
 *  column in the plan of the load. Exported for its test. */
export function choices(profile, proposed, dialect) {
  const isSqlite = dialect === "sqlite";
  const first = { label: proposed.type, type: proposed.type, steps: proposed.made?.steps };
  const steps = first.steps?.[0];
  if (steps?.operation === "parse_date") first.label += ` (${steps.format})`;
  if (steps?.decimal)
    first.label += ` (${steps.thousands ? `1${steps.thousands}234` : "1"}${steps.decimal}5)`;
  const numeric = isSqlite ? "TEXT" : "numeric";
  const whole = isSqlite ? "INTEGER" : "bigint";
  const unsure = [];
  const mark = { ambiguous_number: ".", comma_or_thousands: "," }[profile?.reason];
  if (mark && !profile.as_number) {
    const other = mark === "." ? "," : ".";
    unsure.push(
      {
        label: t("decimals: 1{mark}234 is between 1 and 2", { mark }),
        type: numeric,
        steps: number(mark),
      },
      {
        label: t("thousands: 1{mark}234 is 1234", { mark }),
        type: whole,
        steps: number(other, mark),
      },
    );
  }
  for (const format of profile?.readings ?? []) {
    const kind = format.includes("%H") ? "timestamp without time zone" : "date";
    const type = isSqlite ? "TEXT" : kind;
    unsure.push({
      label: `${type} (${format})`,
      type,
      steps: [{ operation: "parse_date", format }],
    });
  }
  const others = TYPES[dialect]
    .filter((type) => type !== proposed.type)
    .map((type) => ({ label: type, type, steps: [] }));
  return [first, ...unsure, ...others];
}

/** `profiles`: columns of the analysis; `proposed`: of the plan; `onchange()` after each change. */
export function columnEditor({ profiles, proposed, dialect, key, onchange }) {
  const rows = proposed.map((column) => {
    const profile = profiles.find(({ name }) => name === column.from);
    const options = choices(profile, column, dialect);
    const about = { column: column.from };
    const row = { source: column.from, options };
    row.isLoaded = h("input", {
      type: "checkbox",
      checked: true,
      "aria-label": t("Load {column}", about),
      onchange,
    });
    row.name = h("input", {
      value: column.column,
      maxlength: 200,
      "aria-label": t("Name of {column}", about),
      onchange,
    });
    row.type = select(
      options.map(({ label }, index) => [String(index), label]),
      "0",
      { "aria-label": t("Type of {column}", about), onchange },
    );
    row.isKey = h("input", {
      type: "checkbox",
      checked: key.includes(column.column),
      "aria-label": t("{column} is in the key", about),
      onchange,
    });
    row.reason =
      profile?.type === "text" && !profile.as_number && profile.reason !== "text"
        ? profile.explanation
        : "";
    return row;
  });
  const node = h(
    "section",
    {},
    h("h3", {}, t("Columns of the new table")),
    grid(
      t("Columns of the new table"),
      [t("Load"), t("From the file"), t("Column"), t("Type"), t("Key"), t("Why it is text")],
      rows.map((row) => [row.isLoaded, row.source, row.name, row.type, row.isKey, row.reason]),
    ),
  );
  return {
    node,
    /** Options of the load. */
    options() {
      const columns = {};
      const types = {};
      const loaded = rows.filter((row) => row.isLoaded.checked);
      for (const row of loaded) {
        const name = row.name.value.trim();
        const { type, steps } = row.options[row.type.value];
        columns[name] = steps?.length ? { from: row.source, steps } : row.source;
        types[name] = type;
      }
      return {
        columns,
        types,
        key: loaded.filter((r) => r.isKey.checked).map((r) => r.name.value.trim()),
      };
    },
  };
}
