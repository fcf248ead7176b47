// A form for the options of a job type, made from their JSON Schema.

import * as api from "./api.js";
import { field, h, replace, select, uid } from "./dom.js";
import { t } from "./messages.js";

/** Processors with a view of their own; a transform is also offered as "hold it against". */
const ELSEWHERE = new Set(["transform", "mapping"]);
/** The option that names a saved template. */
export const TEMPLATE = "template_id";

/** Returns the kinds of values that a property takes. A reference to `$defs` is followed; one that
 *  leads nowhere is a document. */
function kinds(property, schema = /** @type {any} */ ({})) {
  const named = property.$ref ? schema.$defs?.[property.$ref.split("/").at(-1)] : null;
  if (property.$ref && !named) return [{ type: "object" }];
  const whole = named ?? property;
  const parts = whole.anyOf ?? whole.oneOf ?? whole.allOf;
  return parts ? parts.flatMap((part) => kinds(part, schema)) : [whole];
}

const typesOf = (all) => new Set(all.map(({ type }) => type));
/** Whether the items of a list are texts, which are written with commas. */
const isOfTexts = (all) =>
  all.some(({ type, items }) => type === "array" && items?.type === "string");
/** Whether a value is written as JSON. */
const isNested = (all) =>
  typesOf(all).has("object") || (typesOf(all).has("array") && !isOfTexts(all));

const separated = (text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);

/** Returns the value that a text of the form stands for, by the schema of its option.
 *  Throws a SyntaxError for a document that is not JSON. */
export function optionValue(property, text, schema = /** @type {any} */ ({})) {
  const all = kinds(property, schema);
  const possible = typesOf(all);
  if (possible.has("boolean") && ["true", "false"].includes(text)) return text === "true";
  if (possible.has("object") || possible.has("array")) {
    const isDocument = /^\s*[[{]/.test(text);
    if (!isDocument && isOfTexts(all)) return separated(text);
    if (!possible.has("string") || isDocument) return JSON.parse(text);
  }
  const isNumber = possible.has("integer") || possible.has("number");
  if (isNumber && Number.isFinite(Number(text))) return Number(text);
  return text;
}

/** Returns the values that an option may have; empty if they cannot be listed. */
export function choicesOf(property, schema = /** @type {any} */ ({})) {
  return kinds(property, schema).flatMap(({ enum: all, const: one, type }) => {
    if (type === "boolean") return ["true", "false"];
    if (all) return all;
    return one === undefined ? [] : [one];
  });
}

/** Whether fields suffice for what the options require: the id of something has a view of its
 *  own, or a choice of ours. */
export function isSimple({ processor, options }) {
  const required = new Set(options.required ?? []);
  if (ELSEWHERE.has(processor)) return false;
  return Object.entries(options.properties ?? {}).every(([name, property]) => {
    if (!required.has(name)) return true;
    const all = kinds(property, options);
    return !isNested(all) && !all.some((kind) => kind.format === "uuid");
  });
}

/** Options by their names in a query: texts as they are, anything else as JSON. */
export const asParameters = (options) =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      `option.${name}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );

/** Returns the labels in a text that separates them by commas, each once. */
export const labelsIn = (text) => [...new Set(separated(text))];

/** A choice of the databases that rows can be loaded into. */
function connections() {
  const choice = select([["", t("The database of this service")]], "", { name: "connection" });
  const add = ({ items }) => {
    const names = items.map((each) => each.name).filter(Boolean);
    choice.append(...names.map((name) => h("option", { value: name }, name)));
  };
  // without the list, there is still the service's own
  api.get("/api/v1/connections").then(add, () => {});
  return choice;
}

/** The options of a load that everybody decides about, in their order; the others are in `more`. */
const LOAD = {
  connection: { title: t("Database") },
  table: {
    title: t("Table"),
    hint: t("One that exists; Tables creates a new one from a file that was analysed."),
  },
  mode: { title: t("Mode") },
  key: {
    title: t("Key"),
    hint: t("Columns that identify a row, separated by commas; the primary key if left empty."),
  },
};
/** Without `create`, which needs an analysis of the file first. */
const MODES = {
  append: t("Append: every row is new"),
  upsert: t("Upsert: update by key, insert the others"),
  update: t("Update: by key, reject the others"),
  insert_new: t("Insert new: skip keys that are there"),
  replace: t("Replace: exchange all rows"),
  mirror: t("Mirror: upsert, and delete what the file lacks"),
};

/** An input that proposes the tables of a database. */
function tableInput(connection) {
  const names = h("datalist", { id: uid("tables") });
  const input = h("input", { name: "table", required: true, list: names.id, spellcheck: "false" });
  const load = () =>
    api.get(api.query("/api/v1/tables", { connection: connection.value, limit: 500 })).then(
      ({ items }) =>
        replace(
          names,
          items.map(({ name }) => h("option", { value: name })),
        ),
      () => replace(names), // without the list, a name can be written
    );
  connection.addEventListener("change", load);
  load();
  return { input, names };
}

/** A choice of what a load does with the rows of the table. */
const modeChoice = (usual) =>
  select(Object.entries(MODES), usual ?? "append", { name: "mode", required: true });

/** Returns the form of a load, as optionFields does: short, with the rest in `more`. */
function loadFields(schema) {
  const others = Object.fromEntries(
    Object.entries(schema.properties).filter(([name]) => !Object.hasOwn(LOAD, name)),
  );
  const rest = optionFields({ ...schema, properties: others });
  const connection = connections();
  const { input, names } = tableInput(connection);
  const mode = modeChoice(schema.properties.mode?.default);
  const key = h("input", { name: "key", spellcheck: "false", placeholder: "id" });
  const keyField = field(LOAD.key.title, key, LOAD.key.hint);
  const showKey = () => (keyField.hidden = ["append", "replace"].includes(mode.value));
  mode.addEventListener("change", showKey);
  showKey();
  return {
    fields: [
      field(LOAD.connection.title, connection),
      field(LOAD.table.title, input, LOAD.table.hint),
      names,
      field(LOAD.mode.title, mode),
      keyField,
    ],
    more: [...rest.fields, ...rest.more],
    read() {
      const named = { table: input.value.trim(), mode: mode.value };
      if (connection.value) named.connection = connection.value;
      const columns = keyField.hidden ? [] : separated(key.value);
      return { ...rest.read(), ...named, ...(columns.length && { key: columns }) };
    },
  };
}

/** A choice of the saved templates. */
function templates() {
  const choice = select([["", "–"]], "", { name: TEMPLATE });
  const add = ({ items }) =>
    choice.append(...items.map((each) => h("option", { value: each.template_id }, each.name)));
  // without the list, none can be chosen
  api.get("/api/v1/templates").then(add, () => {});
  return choice;
}

/** Returns a control for one option; an empty one means the default. */
function control(name, property, schema, isRequired) {
  if (name === "connection") return connections();
  if (name === TEMPLATE) return templates();
  const usual = property.default;
  const shown = typeof usual === "string" ? usual : JSON.stringify(usual);
  const choices = choicesOf(property, schema);
  if (choices.length) {
    const isOpen = usual === undefined || usual === null || usual === "";
    const none = isOpen ? "–" : t("Default: {value}", { value: shown });
    const props = { name, required: isRequired };
    return select([["", none], ...choices.map((value) => [value, value])], "", props);
  }
  const all = kinds(property, schema);
  const placeholder = ["null", "[]", "{}", ""].includes(shown ?? "") ? null : shown;
  if (isNested(all))
    return h("textarea", {
      name,
      rows: 2,
      required: isRequired,
      placeholder: placeholder ?? (typesOf(all).has("object") ? '{"name": "value"}' : "[…]"),
      spellcheck: "false",
    });
  const isNumber = typesOf(all).has("integer") || typesOf(all).has("number");
  return h("input", {
    name,
    type: isNumber ? "number" : "text",
    step: isNumber ? "any" : null,
    required: isRequired,
    placeholder,
  });
}

/** The description of an option for people: one that names a route is for programs. */
const hintOf = ({ description = "" }) => (description.includes("/api/") ? null : description);

/** Returns {fields, more, read()}: the fields of the options; in `more` those of documents that are
 *  not required. `read` returns the options that were filled in, and throws a SyntaxError that
 *  names the one that cannot be read. */
export function optionFields(schema = /** @type {any} */ ({}), processor = "") {
  if (processor === "load") return loadFields(schema);
  const { properties = {}, required = [] } = schema;
  const controls = Object.entries(properties).map(([name, property]) => ({
    name,
    property,
    isMore: isNested(kinds(property, schema)) && !required.includes(name),
    node: control(name, property, schema, required.includes(name)),
  }));
  const drawn = (some) =>
    some.map(({ name, property, node }) => field(property.title ?? name, node, hintOf(property)));
  return {
    fields: drawn(controls.filter(({ isMore }) => !isMore)),
    more: drawn(controls.filter(({ isMore }) => isMore)),
    read() {
      const options = {};
      for (const { name, property, node } of controls) {
        if (!node.value.trim()) continue;
        try {
          options[name] = optionValue(property, node.value, schema);
        } catch {
          node.focus();
          throw Object.assign(new SyntaxError(t("Write {name} as JSON.", { name })), {
            title: t("An option is not valid JSON"),
          });
        }
      }
      return options;
    },
  };
}
