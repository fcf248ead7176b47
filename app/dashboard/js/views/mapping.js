// Maps the columns of one file to those of another: proposed, edited by drag or keyboard, saved as
// a template.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace, select } from "../dom.js";
import { ago, count, percent, plural, standing } from "../format.js";
import { badge, progressBar, spinner } from "../parts.js";
import { fail, removeLater, toast } from "../toast.js";
import { decided, question, transformPanel } from "./transform.js";

const POLL_MS = 400;

export default function mapping({ id }) {
  return id ? board(id) : start();
}

// -------------------------------------------------------------------- choosing two files

function start() {
  const place = h("div", {}, spinner());
  const recent = h("section.card", {}, h("h2", {}, "Earlier mappings"));
  const kept = h("section.card", {}, h("h2", {}, "Templates"));

  async function load() {
    const [jobs, templates, about] = await Promise.all([
      api.get(api.query("/api/v1/jobs", { limit: 300, parts: false })),
      api.get("/api/v1/templates"),
      api.get("/api/v1/system"),
    ]);
    const files = new Map();
    for (const job of jobs.items)
      if (job.processor !== "mapping" && job.status !== "failed")
        files.set(job.file_id, `${job.filename} · ${ago(job.created_at)}`);
    const done = jobs.items.filter((job) => job.processor === "mapping");
    if (files.size < 2)
      replace(
        place,
        empty(
          "Two files are needed",
          "Upload the file to map, and one with the columns that you want; a few rows of it help.",
          h("a.button.primary", { href: "#/jobs" }, "Upload files"),
        ),
      );
    else {
      const options = [...files];
      const input = select(options, options[0][0]);
      const reference = select(options, options[1][0]);
      const provider = select(
        [
          ["local", "Here, on this machine"],
          ...(about.language_model ? [["openai", "A language model"]] : []),
        ],
        "local",
      );
      replace(
        place,
        h(
          "form.card.form",
          {
            onsubmit: async (event) => {
              event.preventDefault();
              try {
                const { job_id } = await api.post("/api/v1/jobs/mapping", {
                  input_file_id: input.value,
                  reference_file_id: reference.value,
                  provider: provider.value,
                });
                location.hash = `#/mapping/${job_id}`;
              } catch (error) {
                fail(error);
              }
            },
          },
          field("Input file", input, "The file to map."),
          field("Reference file", reference, "Has the target columns."),
          field("Compared", provider),
          h(
            "div.form-end",
            {},
            button("Propose a mapping", null, { kind: "primary", type: "submit" }),
          ),
        ),
      );
    }
    if (done.length)
      recent.append(
        h(
          "ul.plain",
          {},
          done
            .slice(0, 20)
            .map((job) =>
              h(
                "li",
                {},
                badge(standing(job)),
                h("a.clip", { href: `#/mapping/${job.job_id}` }, job.filename),
                h("span.muted", {}, ago(job.created_at)),
              ),
            ),
        ),
      );
    else recent.append(h("p.muted", {}, "None yet."));
    const items = templates.items ?? templates.templates ?? [];
    if (items.length)
      kept.append(
        h(
          "ul.plain",
          {},
          items.map((each) =>
            h(
              "li",
              {},
              h("b.clip", {}, each.name),
              h(
                "span.muted",
                {},
                `${plural(each.columns.length, "column")} · version ${each.version}`,
              ),
              iconButton("remove", `Delete ${each.name}`, (event) => {
                const row = event.target.closest("li");
                row.hidden = true;
                removeLater(`/api/v1/templates/${each.template_id}`, `${each.name} is deleted`, {
                  onundo: () => (row.hidden = false),
                });
              }),
            ),
          ),
        ),
      );
    else
      kept.append(
        h(
          "p.muted",
          {},
          "An accepted mapping is saved as a template, and proposed first next time.",
        ),
      );
  }

  load().catch((error) =>
    replace(
      place,
      empty(error.title ?? "This cannot be loaded", `${error.message} ${error.remedy ?? ""}`),
    ),
  );
  return {
    title: "Mapping",
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, "Map columns")),
      place,
      h("div.grid-2", {}, recent, kept),
    ),
    dispose() {},
  };
}

// -------------------------------------------------------------------- the proposal

function board(id) {
  const node = h("div.page", {}, spinner());
  let timer = null;
  let panel = null;
  let isGone = false;

  async function follow() {
    const bar = progressBar("Progress of the mapping");
    const stage = h("p.muted", { role: "status" }, "Waiting in the queue …");
    replace(
      node,
      h("div.page-head", {}, h("h1", {}, "Comparing both files")),
      h("section.card", {}, bar, stage),
    );
    for (;;) {
      const now = await api.get(`/api/v1/jobs/${encodeURIComponent(id)}/status`);
      if (isGone) return;
      bar.show(now.progress);
      stage.textContent = `${now.progress} % · ${now.stage.replaceAll("_", " ")}`;
      if (!now.is_active) break;
      await new Promise((resolve) => (timer = setTimeout(resolve, POLL_MS)));
      if (isGone) return;
    }
    const { result } = await api.get(`/api/v1/jobs/${encodeURIComponent(id)}/result`);
    if (!isGone) draw(result);
  }

  function draw(result) {
    const inputs = result.matrix.input_columns;
    const state = result.mappings.map((proposed) => ({
      proposed,
      given: [...proposed.input_columns],
      choices: new Map(),
    }));
    const tray = h("ul.chips", { "aria-label": "Input columns" });
    const pairs = h("ol.pairs", { "aria-label": "Reference columns" });
    panel = transformPanel(result.input_file_id, columns);
    const name = h("input", {
      required: true,
      maxlength: 200,
      placeholder: "Name of the template",
    });
    const isAsProposed = (each) => each.given.join("\0") === each.proposed.input_columns.join("\0");

    /** Returns the current mapping in the form of templates and transforms. */
    function columns() {
      return state.map((each) => ({
        reference_column: each.proposed.reference_column,
        input_columns: each.given,
        conversion: isAsProposed(each)
          ? each.proposed.conversion.flatMap((step, i) => decided(step, each.choices.get(i)))
          : [],
      }));
    }

    function ask(each, step, i) {
      const asked = question(step);
      if (!asked) return null;
      const label = `${each.proposed.reference_column}: ${asked.label}`;
      const choice = select([["", "choose …"], ...asked.options], each.choices.get(i) ?? "", {
        "aria-label": label,
      });
      choice.addEventListener("change", () => {
        each.choices.set(i, choice.value);
        show();
        [...pairs.querySelectorAll(".question select")]
          .find((other) => other.getAttribute("aria-label") === label)
          ?.focus();
      });
      return h(
        `label.question${choice.value ? ".answered" : ""}`,
        {},
        h("span", {}, asked.label),
        choice,
      );
    }

    function assign(index, column) {
      for (const each of state) each.given = each.given.filter((used) => used !== column);
      state[index].given = column ? [column] : [];
      announce(
        column
          ? `${column} is mapped to ${state[index].proposed.reference_column}`
          : `${state[index].proposed.reference_column} is not mapped`,
      );
      show();
    }

    function chip(column) {
      const isUsed = state.some((each) => each.given.includes(column));
      return h(
        `li.chip${isUsed ? ".used" : ""}`,
        {
          draggable: true,
          "data-column": column,
          ondragstart: (event) => {
            event.dataTransfer.setData("text/plain", column);
            event.dataTransfer.effectAllowed = "move";
          },
        },
        h("span.clip", { title: column }, column),
        isUsed && h("span.hidden", {}, " (mapped)"),
      );
    }

    function pair(each, index) {
      const { proposed, given } = each;
      const chosen = select(
        [
          ["", "not mapped"],
          ...(given.length > 1 ? [[given.join("\0"), given.join(" + ")]] : []),
          ...inputs.map((column) => [column, column]),
        ],
        given.join("\0"),
        { "aria-label": `Input column for ${proposed.reference_column}` },
      );
      chosen.addEventListener("change", () => {
        assign(index, chosen.value);
        pairs.children[index].querySelector("select").focus();
      });
      const asProposed = isAsProposed(each);
      const sure = asProposed && given.length ? proposed.confidence : null;
      const why = asProposed ? proposed.reason : given.length ? "chosen by you" : "left out by you";
      return h(
        "li.pair",
        {
          "data-reference": proposed.reference_column,
          ondragover: (event) => (
            event.preventDefault(), event.currentTarget.classList.add("over")
          ),
          ondragleave: (event) => event.currentTarget.classList.remove("over"),
          ondrop: (event) => {
            event.preventDefault();
            const column = event.dataTransfer.getData("text/plain");
            if (inputs.includes(column)) assign(index, column);
          },
        },
        h(
          "div.pair-name",
          {},
          h("b.clip", { title: proposed.reference_column }, proposed.reference_column),
          h("span.muted", {}, why),
        ),
        h(
          "div.pair-choice",
          {},
          chosen,
          sure !== null &&
            h(
              "span.score",
              { title: `${percent(sure)} sure` },
              h(
                "span.meter",
                { "aria-hidden": "true" },
                h(`i${sure < 0.5 ? ".low" : ""}`, { style: { width: `${sure * 100}%` } }),
              ),
              h("b.num", {}, percent(sure)),
            ),
        ),
        asProposed &&
          proposed.conversion.length > 0 &&
          h(
            "ul.steps",
            { "aria-label": "Conversion" },
            proposed.conversion
              .flatMap((step, i) => decided(step, each.choices.get(i)))
              .map((step) => h("li", {}, describe(step))),
          ),
        asProposed && proposed.conversion.map((step, i) => ask(each, step, i)),
        !asProposed &&
          button("As proposed", () => ((each.given = [...proposed.input_columns]), show()), {
            kind: "link",
          }),
      );
    }

    function show() {
      replace(tray, inputs.map(chip));
      replace(pairs, state.map(pair));
      panel.update();
    }

    async function keep(event) {
      event.preventDefault();
      try {
        await api.post("/api/v1/templates", {
          name: name.value.trim(),
          job_id: null,
          columns: columns(),
        });
        toast(`Saved as ${name.value.trim()}`, {
          detail: "Its pairs are proposed first from now on.",
        });
      } catch (error) {
        fail(error);
      }
    }

    show();
    replace(
      node,
      h(
        "div.page-head",
        {},
        h("h1", {}, "Map columns"),
        h(
          "p.muted",
          {},
          `${count(result.matched)} of ${count(state.length)} reference columns matched`,
        ),
      ),
      result.notes.map((note) => h("p.note", {}, note)),
      h(
        "div.board",
        {},
        h(
          "section.card",
          {},
          h("h2", {}, "Input columns"),
          h("p.muted", {}, "Drag one to its reference column, or select it there."),
          tray,
        ),
        h("section.card", {}, h("h2", {}, "Reference columns"), pairs),
      ),
      panel.node,
      h(
        "form.card.form",
        { onsubmit: keep },
        field("Save as a template", name),
        h("div.form-end", {}, button("Keep", null, { kind: "primary", type: "submit" })),
      ),
    );
  }

  follow().catch((error) => {
    if (!isGone)
      replace(
        node,
        empty(
          error.title ?? "The mapping cannot be loaded",
          `${error.message} ${error.remedy ?? ""}`,
          h("a.button", { href: "#/mapping" }, "Back"),
        ),
      );
  });
  return {
    title: "Mapping",
    node,
    dispose() {
      isGone = true;
      clearTimeout(timer);
      panel?.dispose();
    },
  };
}

/** A step of a conversion, in words. */
function describe({ operation, ...rest }) {
  const names = {
    trim: "trim white space",
    case: `to ${rest.to} case`,
    cast: `to ${rest.to}`,
    date_format: `date ${rest.from} to ${rest.to}`,
    value_table: "values by a table",
    split: `${rest.part} part at “${rest.separator}”`,
    join: `joined by “${rest.separator}”`,
  };
  return `${names[operation] ?? operation}${rest.decide ? " (to be decided)" : ""}`;
}
