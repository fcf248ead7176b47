// What to do with a file: the processor, its options by their schema, labels and priority.

import * as api from "./api.js";
import { field, h, replace, select } from "./dom.js";
import { system } from "./main.js";
import { t } from "./messages.js";
import { fail } from "./toast.js";

const TEMPLATE = "template_id";
/** Characters of a label; the service allows 20 labels of a job. */
const LABELS_CHARACTERS = 400;

/** Returns the kinds of values that a property takes, with references to `$defs` followed. */
export function kinds(property, schema) {
  const named = property.$ref ? schema.$defs?.[property.$ref.split("/").at(-1)] : null;
  const whole = named ? { ...named, ...property, $ref: undefined } : property;
  const parts = whole.anyOf ?? whole.oneOf ?? whole.allOf;
  return parts ? parts.flatMap((part) => kinds(part, schema)) : [whole];
}

const is = (all, type) => all.some((kind) => kind.type === type);
/** Whether a value has fields of its own, which are written as JSON. */
const isNested = (all) =>
  is(all, "object") ||
  all.some((kind) => kind.type === "array" && !["string", undefined].includes(kind.items?.type));

/** Whether fields suffice for what the options require: the id of something has a view of its
 *  own, or a choice of ours. */
export function isSimple({ options }) {
  const required = new Set(options.required ?? []);
  if (options.properties?.[TEMPLATE]) return false; // offered as "hold it against"
  return Object.entries(options.properties ?? {}).every(([property, schema]) => {
    if (!required.has(property)) return true;
    const all = kinds(schema, options);
    return !isNested(all) && !all.some((kind) => kind.format === "uuid");
  });
}

/** Returns the types of jobs that a form can ask for; for an upload, those that it may name. */
export async function usableTypes({ isUpload = true } = {}) {
  const { items } = await api.get("/api/v1/job-types");
  const usable = items.filter(
    (type) => (type.is_uploadable || !isUpload) && type.is_configured && isSimple(type),
  );
  return usable.sort((a, b) => Number(a.processor !== "rows") - Number(b.processor !== "rows"));
}

/** A choice of the databases that rows can be loaded into. */
function connections() {
  const choice = select([["", t("The database of this service")]], "", {
    name: "connection",
    "data-kind": "text",
  });
  api.get("/api/v1/connections").then(({ items }) => {
    const names = items.map((each) => each.name).filter(Boolean);
    choice.append(...names.map((name) => h("option", { value: name }, name)));
  }, fail);
  return choice;
}

/** The description of an option for people: one that names a route is for programs. */
const hintOf = ({ description = "" }) => (description.includes("/api/") ? null : description);

/** A control for one option; an empty one means the default. `kind` tells how its text is read. */
function control(name, property, schema, isRequired) {
  if (name === "connection") return connections();
  const all = kinds(property, schema);
  const usual = property.default;
  const text = typeof usual === "string" ? usual : JSON.stringify(usual);
  const values = all.flatMap(({ enum: several, const: one, type }) => {
    if (type === "boolean") return ["true", "false"];
    return several ?? (one === undefined ? [] : [one]);
  });
  if (values.length) {
    const isUnset = usual === undefined || usual === null || usual === "";
    const empty = isUnset ? "–" : t("Default: {value}", { value: text });
    const props = { name, "data-kind": is(all, "boolean") ? "json" : "text", required: isRequired };
    return select([["", empty], ...values.map((value) => [value, value])], "", props);
  }
  const placeholder = ["null", "[]", "{}", "", undefined].includes(text) ? null : text;
  if (isNested(all)) {
    const hint = is(all, "object") ? '{"name": "value"}' : "[…]";
    return h("textarea", {
      name,
      rows: 2,
      "data-kind": "json",
      placeholder: hint,
      spellcheck: "false",
    });
  }
  const isNumber = is(all, "integer") || is(all, "number");
  return h("input", {
    name,
    type: isNumber ? "number" : "text",
    step: is(all, "number") ? "any" : isNumber ? 1 : null,
    min: all.find((kind) => kind.minimum !== undefined)?.minimum,
    max: all.find((kind) => kind.maximum !== undefined)?.maximum,
    maxlength: is(all, "string") ? all.find((kind) => kind.maxLength)?.maxLength : null,
    required: isRequired,
    placeholder,
    "data-kind": is(all, "array") ? "list" : isNumber ? "json" : "text",
  });
}

/** Returns the value of a control as the service takes it in JSON. Raises SyntaxError for text that
 *  is no JSON where JSON is asked for. */
export function controlValue({ kind, value }) {
  if (kind === "json") return JSON.parse(value);
  if (kind !== "list") return value;
  return value
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Reads the controls; the message of an error says which one cannot be read. */
function optionsOf(node) {
  const options = {};
  for (const input of node.querySelectorAll("[name]")) {
    if (!input.value.trim()) continue;
    try {
      options[input.name] = controlValue({ kind: input.dataset.kind, value: input.value });
    } catch {
      input.focus();
      throw Object.assign(new Error(t("Write {name} as JSON.", { name: input.name })), {
        title: t("An option cannot be read"),
      });
    }
  }
  return options;
}

/** Options by their names in a query: texts as they are, anything else as JSON. */
export const asParameters = (options) =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      `option.${name}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );

/** {node, wanted()}; `wanted` returns {type, processor, priority, labels, isSchema, options,
 *  option}: the options as JSON, and by their names in a query. */
export function jobForm(first, priorityNow, { isUpload = true, labelsNow = [] } = {}) {
  let types = [];
  let schemas = new Set();
  const processor = select([[first, first]], first);
  const template = select([["", t("Nothing")]], "");
  const against = field(
    t("Hold it against"),
    template,
    t("A saved template brings the file into its columns and rejects rows that break its rules."),
  );
  against.hidden = true;
  const priority = select(
    Array.from({ length: 11 }, (_, i) => {
      if (i === 0) return [i, t("0 · no hurry")];
      return [i, i === 10 ? t("10 · first of all") : i];
    }),
    priorityNow,
  );
  const labels = h("input", {
    value: labelsNow.join(", "),
    maxlength: LABELS_CHARACTERS,
    placeholder: t("q3, shop"),
  });
  const options = h("div.form", { hidden: true });
  const more = h("div.form");
  const details = h("details", { hidden: true }, h("summary", {}, t("More options")), more);

  const ask = () => {
    const schema = types.find((type) => type.processor === processor.value)?.options ?? {};
    const required = new Set(schema.required ?? []);
    const groups = { main: [], more: [] };
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      const isMore = isNested(kinds(property, schema)) && !required.has(name);
      groups[isMore ? "more" : "main"].push(
        field(
          property.title ?? name,
          control(name, property, schema, required.has(name)),
          hintOf(property),
        ),
      );
    }
    replace(options, groups.main);
    replace(more, groups.more);
    options.hidden = !groups.main.length;
    details.hidden = !groups.more.length;
  };
  const chooseTemplate = () => {
    processor.disabled = template.value !== "";
    options.hidden = processor.disabled || !options.children.length;
    details.hidden = processor.disabled || !more.children.length;
  };
  processor.addEventListener("change", ask);
  template.addEventListener("change", chooseTemplate);
  usableTypes({ isUpload }).then((usable) => {
    types = usable;
    replace(
      processor,
      usable.map((type) =>
        h("option", { value: type.processor, selected: type.processor === first }, type.title),
      ),
    );
    ask();
  }, fail);
  api.get("/api/v1/templates").then(({ items }) => {
    against.hidden = !items.length;
    template.append(...items.map((each) => h("option", { value: each.template_id }, each.name)));
  }, fail);
  system().then((about) => (schemas = new Set(about.schemas)), fail);

  return {
    node: h(
      "div.job-form",
      {},
      h(
        "div.form",
        {},
        field(t("Processor"), processor),
        against,
        field(t("Labels"), labels, t("Separated by commas; the list of jobs filters by them.")),
        field(t("Priority"), priority),
      ),
      options,
      details,
    ),
    wanted() {
      const isHeld = template.value !== "";
      const chosen = isHeld ? { [TEMPLATE]: template.value } : optionsOf(options.parentNode);
      const name = isHeld ? "transform" : processor.value;
      return {
        type: isHeld ? "transform" : (types.find((type) => type.processor === name)?.name ?? name),
        processor: name,
        priority: priority.value,
        labels: controlValue({ kind: "list", value: labels.value }),
        isSchema: schemas.has(name),
        options: chosen,
        option: asParameters(chosen),
      };
    },
  };
}
