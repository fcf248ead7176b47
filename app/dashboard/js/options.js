// A form for the options of a job type, made from their JSON Schema.

import { field, h, select } from "./dom.js";
import { t } from "./messages.js";

const kinds = (property) => property.anyOf ?? [property];
const types = (property) =>
  new Set(kinds(property).map(({ type, $ref }) => type ?? ($ref && "object")));

/** Returns the value that a text of the form stands for, by the schema of its option.
 *  Throws a SyntaxError for a document that is not JSON. */
export function optionValue(property, text) {
  const possible = types(property);
  if (possible.has("boolean") && ["true", "false"].includes(text)) return text === "true";
  if (possible.has("object") || possible.has("array")) {
    if (!possible.has("string") || /^[[{]/.test(text)) return JSON.parse(text);
  }
  const isNumber = possible.has("integer") || possible.has("number");
  if (isNumber && Number.isFinite(Number(text))) return Number(text);
  return text;
}

/** Returns the values that an option may have; empty if they cannot be listed. */
export function choicesOf(property) {
  return kinds(property).flatMap(({ enum: all, const: one, type }) => {
    if (type === "boolean") return ["true", "false"];
    if (all) return all;
    return one === undefined ? [] : [one];
  });
}

/** Returns a control for one option; an empty one means the default. */
function control(name, property, isRequired) {
  const usual = property.default;
  const shown = typeof usual === "string" ? usual : JSON.stringify(usual);
  const choices = choicesOf(property);
  if (choices.length) {
    const isOpen = usual === undefined || usual === null;
    const none = isOpen ? "–" : t("Default: {value}", { value: shown });
    return select([["", none], ...choices.map((value) => [value, value])], "", { name });
  }
  const possible = types(property);
  if (possible.has("object") || possible.has("array"))
    return h("textarea", {
      name,
      rows: 2,
      required: isRequired,
      placeholder: shown,
      spellcheck: "false",
    });
  const isNumber = possible.has("integer") || possible.has("number");
  return h("input", {
    name,
    type: isNumber ? "number" : "text",
    step: isNumber ? "any" : null,
    required: isRequired,
    placeholder: shown,
  });
}

/** Returns {fields, read()}; `read` returns the options that were filled in. */
export function optionFields({ properties = {}, required = [] } = /** @type {any} */ ({})) {
  const controls = Object.entries(properties).map(([name, property]) => ({
    name,
    property,
    node: control(name, property, required.includes(name)),
  }));
  return {
    fields: controls.map(({ name, property, node }) =>
      field(property.title ?? name, node, property.description),
    ),
    read: () =>
      Object.fromEntries(
        controls
          .filter(({ node }) => node.value !== "")
          .map(({ name, property, node }) => [name, optionValue(property, node.value)]),
      ),
  };
}
