// The filters and the order of the list of jobs: in the address, and saved in this browser.

import * as api from "../api.js";
import { button, field, h, replace, select } from "../dom.js";
import { STATES } from "../format.js";
import { t } from "../messages.js";
import { fail } from "../toast.js";

const SAVED = "granula.filters";
const TYPING_MS = 250;
const EMPTY = {
  search: "",
  status: "",
  processor: "",
  label: "",
  from: "",
  to: "",
  rejected: "",
  helpers: "",
  sort: "",
  order: "",
};
/** What the list can be ordered by, and whether the largest comes first. */
export const SORTS = {
  created: { name: t("Created"), order: "desc" },
  name: { name: t("Name"), order: "asc" },
  rows: { name: t("Rows"), order: "desc" },
  rejected: { name: t("Rejected"), order: "desc" },
  size: { name: t("Size"), order: "desc" },
  duration: { name: t("Duration"), order: "desc" },
};

function readSaved() {
  try {
    return JSON.parse(localStorage.getItem(SAVED)) ?? {};
  } catch {
    return {}; // not allowed, or not ours
  }
}

function writeSaved(saved) {
  try {
    localStorage.setItem(SAVED, JSON.stringify(saved));
  } catch {
    /* not stored: they hold for this visit */
  }
}

/** The filters as {node, filter, isSet, order, sortBy(name), setLabel(label), clear(), search}.
 *  `onchange` is called after each change. */
export function filterBar(params, onchange) {
  const filter = { ...EMPTY };
  for (const name of Object.keys(EMPTY)) filter[name] = params.get(name) ?? "";
  if (!SORTS[filter.sort]) Object.assign(filter, { sort: "", order: "" });
  let saved = readSaved();
  let timer = null;

  const search = h("input", {
    type: "search",
    placeholder: t("Search by file name or #number"),
    "aria-label": t("Search by file name"),
  });
  const status = select(
    [
      ["", t("Every status")],
      ...Object.entries({ ...STATES, completed_with_errors: t("With rejects, or incomplete") }),
    ],
    "",
    { "aria-label": t("Status") },
  );
  const kind = h("select", { "aria-label": t("Processor") });
  const label = h("select", { "aria-label": t("Label") });
  const rejected = select(
    [
      ["", t("Any share of rejects")],
      ["0", t("Some rows rejected")],
      ["1", t("Over 1 % rejected")],
      ["5", t("Over 5 % rejected")],
      ["20", t("Over 20 % rejected")],
    ],
    "",
    { "aria-label": t("Share of rejects") },
  );
  const from = h("input", { type: "date", "aria-label": t("Created from") });
  const to = h("input", { type: "date", "aria-label": t("Created to") });
  const helpers = h("input", { type: "checkbox" });
  const sort = select(
    Object.entries(SORTS).map(([name, each]) => [name, t("By {name}", { name: each.name })]),
    "",
    { "aria-label": t("Order") },
  );
  const names = h("select", { "aria-label": t("Saved filters") });
  const controls = { search, status, processor: kind, label, rejected, from, to };
  const others = h(
    "div.more-filters",
    {},
    status,
    kind,
    label,
    rejected,
    h("span.dates", {}, t("from"), from, t("to"), to),
    h(
      "label.check",
      { title: t("Corrections, and profiles and trials of a file that has a job already") },
      helpers,
      t("Helper jobs"),
    ),
    h("span.narrow-only", {}, sort),
    names,
  );
  const unfold = button(
    t("Filters and order"),
    () => unfold.setAttribute("aria-expanded", String(others.classList.toggle("open"))),
    { "aria-expanded": "false" },
  );
  const bar = h(
    "div.filters",
    { role: "search" },
    search,
    h("span.narrow-only", {}, unfold),
    others,
  );

  function fill(control, first, values, chosen) {
    const all = [...new Set([...values, chosen].filter(Boolean))];
    replace(
      control,
      h("option", { value: "" }, first),
      all.map((value) => h("option", { value }, value)),
    );
    control.value = chosen;
  }
  const fillKinds = (values) => fill(kind, t("Every processor"), values, filter.processor);
  const fillLabels = (values) => fill(label, t("Every label"), values, filter.label);

  function fillNames() {
    replace(
      names,
      h("option", { value: "" }, t("Saved filters")),
      Object.keys(saved)
        .sort()
        .map((name) => h("option", { value: `open ${name}` }, name)),
      h("option", { value: "save" }, t("Save these filters …")),
      Object.keys(saved)
        .sort()
        .map((name) => h("option", { value: `forget ${name}` }, t("Forget “{name}”", { name }))),
    );
    names.value = "";
  }

  function show() {
    for (const [name, control] of Object.entries(controls))
      if (control !== document.activeElement || control.value.trim() !== filter[name])
        control.value = filter[name];
    helpers.checked = Boolean(filter.helpers);
    sort.value = filter.sort || "created";
  }

  function changed() {
    clearTimeout(timer);
    history.replaceState(null, "", `#${api.query("/jobs", filter)}`);
    onchange();
  }

  function take() {
    for (const [name, control] of Object.entries(controls)) filter[name] = control.value.trim();
    changed();
  }

  function set(values) {
    Object.assign(filter, values);
    for (const [control, value] of [
      [kind, filter.processor],
      [label, filter.label],
    ])
      if (value && ![...control.options].some((option) => option.value === value))
        control.append(h("option", { value }, value));
    show();
    changed();
  }

  function save() {
    const name = h("input", { maxlength: 60, required: true });
    const dialog = h(
      "dialog.card.sheet.small",
      { "aria-label": t("Save these filters"), onclose: () => dialog.remove() },
      h(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            saved = { ...saved, [name.value.trim()]: { ...filter } };
            writeSaved(saved);
            fillNames();
            dialog.close();
          },
        },
        h("h2", {}, t("Save these filters")),
        field(t("Name"), name, t("They are saved in this browser.")),
        h(
          "div.row",
          {},
          button(t("Save"), null, { kind: "primary", type: "submit" }),
          button(t("Cancel"), () => dialog.close()),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    name.focus();
  }

  names.addEventListener("change", () => {
    const [action, ...rest] = names.value.split(" ");
    const name = rest.join(" ");
    names.value = "";
    if (action === "save") save();
    else if (action === "open") set({ ...EMPTY, ...saved[name] });
    else if (action === "forget") {
      delete saved[name];
      writeSaved(saved);
      fillNames();
    }
  });
  search.addEventListener(
    "input",
    () => (clearTimeout(timer), (timer = setTimeout(take, TYPING_MS))),
  );
  for (const control of [status, kind, label, rejected, from, to])
    control.addEventListener("change", take);
  helpers.addEventListener("change", () => set({ helpers: helpers.checked ? "shown" : "" }));
  sort.addEventListener("change", () => sortBy(sort.value));

  /** Orders by this column; a second time, the other way round. */
  function sortBy(name) {
    const now = order();
    const usual = SORTS[name].order;
    const turned = usual === "desc" ? "asc" : "desc";
    const wanted = now.sort === name && now.order === usual ? turned : usual;
    const isUsual = name === "created" && wanted === "desc";
    set(isUsual ? { sort: "", order: "" } : { sort: name, order: wanted });
  }
  const order = () => ({ sort: filter.sort || "created", order: filter.order || "desc" });

  fillKinds([]);
  fillLabels([]);
  fillNames();
  show();
  api.get("/api/v1/job-types").then(({ items }) => {
    fillKinds(items.map((type) => type.processor).sort());
  }, fail);
  const readLabels = () =>
    api
      .get("/api/v1/jobs/labels")
      .then(({ items }) => fillLabels(items.map((each) => each.label)), fail);
  readLabels();

  return {
    node: bar,
    filter,
    search,
    order,
    sortBy,
    readLabels,
    get isSet() {
      const { sort: _, order: __, helpers: ___, ...conditionsOnly } = filter;
      return Object.values(conditionsOnly).some(Boolean);
    },
    setLabel: (value) => set({ label: filter.label === value ? "" : value }),
    clear: () => set({ ...EMPTY, helpers: filter.helpers, sort: filter.sort, order: filter.order }),
    dispose: () => clearTimeout(timer),
  };
}
