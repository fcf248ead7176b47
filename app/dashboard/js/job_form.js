// What to do with a file: the processor, its options by their schema, labels and priority.

import * as api from "./api.js";
import { field, h, replace, select } from "./dom.js";
import { system } from "./main.js";
import { t } from "./messages.js";
import { TEMPLATE, asParameters, isSimple, labelsIn, optionFields } from "./options.js";
import { fail } from "./toast.js";

/** Characters of all labels together; the service tells how many a job may have. */
const LABELS_CHARACTERS = 400;

/** Returns the types of jobs that a form can ask for; for an upload, those that it may name. */
async function usableTypes({ isUpload }) {
  const { items } = await api.get("/api/v1/job-types");
  const usable = items.filter(
    (type) => (type.is_uploadable || !isUpload) && type.is_configured && isSimple(type),
  );
  return usable.sort((a, b) => Number(b.processor === "rows") - Number(a.processor === "rows"));
}

/** {node, wanted()}; `wanted` returns {type, processor, priority, labels, isSchema, options,
 *  option}: the options as JSON, and by their names in a query. */
export function jobForm(first, priorityNow, { isUpload = true, labelsNow = [] } = {}) {
  let types = [];
  let schemas = new Set();
  let asked = optionFields();
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
    const type = types.find((each) => each.processor === processor.value);
    asked = optionFields(type?.options, processor.value);
    replace(options, asked.fields);
    replace(more, asked.more);
    options.hidden = !asked.fields.length;
    details.hidden = !asked.more.length;
  };
  const chooseTemplate = () => {
    processor.disabled = template.value !== "";
    for (const node of [options, more]) if (processor.disabled) replace(node);
    details.hidden = true;
    options.hidden = true;
    if (!processor.disabled) ask();
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
      const chosen = isHeld ? { [TEMPLATE]: template.value } : asked.read();
      const name = isHeld ? "transform" : processor.value;
      return {
        type: types.find((type) => type.processor === name)?.name ?? name,
        processor: name,
        priority: priority.value,
        labels: labelsIn(labels.value),
        isSchema: schemas.has(name),
        options: chosen,
        option: asParameters(chosen),
      };
    },
  };
}
