// What to do with a file: the processor, its options by their schema, and the priority.

import * as api from "./api.js";
import { field, h, replace, select } from "./dom.js";
import { system } from "./main.js";
import { fail } from "./toast.js";

const kinds = (property) => property.anyOf ?? [property];
/** Whether fields suffice for the options: a document, or the id of something, has a view of its
 *  own. */
const isSimple = ({ options }) =>
  Object.values(options.properties ?? {})
    .flatMap(kinds)
    .every(({ type, format, $ref }) => type !== "object" && format !== "uuid" && !$ref);

/** Returns the types of jobs that an upload may name and a form can ask for. */
export async function uploadableTypes() {
  const { items } = await api.get("/api/v1/job-types");
  const usable = items.filter((type) => type.is_uploadable && type.is_configured && isSimple(type));
  return usable.sort((a, b) => Number(b.processor === "rows") - Number(a.processor === "rows"));
}

/** A control for one option; an empty one means the default. */
function control(name, property, isRequired) {
  const usual = property.default;
  const placeholder = typeof usual === "string" ? usual : JSON.stringify(usual);
  const values = kinds(property).flatMap(({ enum: all, const: one, type }) =>
    type === "boolean" ? ["true", "false"] : (all ?? (one === undefined ? [] : [one])),
  );
  if (values.length) {
    const empty = usual === undefined || usual === null ? "–" : `Default: ${placeholder}`;
    return select([["", empty], ...values.map((value) => [value, value])], "", { name });
  }
  const isNumber = kinds(property).some(({ type }) => type === "integer" || type === "number");
  return h("input", {
    name,
    type: isNumber ? "number" : "text",
    step: isNumber ? "any" : null,
    required: isRequired,
    placeholder,
  });
}

/** {node, wanted()}; `wanted` returns {processor, priority, isSchema, option}, the options by
 *  their query names. */
export function jobForm(first, priorityNow) {
  let types = [];
  let schemas = new Set();
  const processor = select([[first, first]], first);
  const priority = select(
    Array.from({ length: 11 }, (_, i) => [
      i,
      i === 0 ? "0 · no hurry" : i === 10 ? "10 · first of all" : i,
    ]),
    priorityNow,
  );
  const options = h("div.form", { hidden: true });
  const ask = () => {
    const { properties = {}, required = [] } =
      types.find((type) => type.processor === processor.value)?.options ?? {};
    replace(
      options,
      Object.entries(properties).map(([name, property]) =>
        field(
          property.title ?? name,
          control(name, property, required.includes(name)),
          property.description,
        ),
      ),
    );
    options.hidden = !options.children.length;
  };
  processor.addEventListener("change", ask);
  uploadableTypes().then((usable) => {
    types = usable;
    replace(
      processor,
      usable.map((type) =>
        h("option", { value: type.processor, selected: type.processor === first }, type.title),
      ),
    );
    ask();
  }, fail);
  system().then((about) => (schemas = new Set(about.schemas)), fail);
  return {
    node: h(
      "div.job-form",
      {},
      h("div.form", {}, field("Processor", processor), field("Priority", priority)),
      options,
    ),
    wanted: () => ({
      processor: processor.value,
      priority: priority.value,
      isSchema: schemas.has(processor.value),
      option: Object.fromEntries(
        [...options.querySelectorAll("input, select")]
          .filter((input) => input.value)
          .map((input) => [`option.${input.name}`, input.value]),
      ),
    }),
  };
}
