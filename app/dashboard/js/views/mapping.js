// Maps the columns of one file to those that are wanted: proposed, edited by drag or keyboard, saved
// as a template.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace, select } from "../dom.js";
import { ago, count, percent, plural, standing, when } from "../format.js";
import { t } from "../messages.js";
import { badge, progressBar, spinner } from "../parts.js";
import { fail, removeLater, toast } from "../toast.js";
import { decided, describe, question, rulesEditor, stepsEditor } from "./steps.js";
import { beginningOf, targetEditor } from "./target.js";
import { transformPanel } from "./transform.js";

const POLL_MS = 400;
/** Confidence from which on a pair counts without a look. */
const SURE = 0.5;
const JOINED = "\0";
const TEMPLATE = "template:";
const FILE = "file:";

export default function mapping({ id }) {
  return id ? board(id) : start();
}

// -------------------------------------------------------------------- choosing a file and a target

const problem = (error, title, ...actions) =>
  empty(error.title ?? title, `${error.message} ${error.remedy ?? ""}`, ...actions);

function start() {
  const place = h("div", {}, spinner());
  const editor = h("div");
  const recent = h("section.card", {}, h("h2", {}, t("Earlier mappings")));
  const kept = h("section.card", {}, h("h2", {}, t("Templates and targets")));
  const lists = h("div.grid-2", {}, recent, kept);

  /** Names of files may be equal, so each has the number of its job and its time. */
  const labelOf = (job) => `${job.filename} · #${job.number} · ${when(job.created_at)}`;

  async function load(chosenTarget = "") {
    const [jobs, templates, about] = await Promise.all([
      api.get(api.query("/api/v1/jobs", { limit: 300, parts: false })),
      api.get(api.query("/api/v1/templates", { limit: 500 })),
      api.get("/api/v1/system"),
    ]);
    const files = new Map();
    for (const job of jobs.items)
      if (job.processor !== "mapping" && job.status !== "failed")
        files.set(job.file_id, labelOf(job));
    const options = [...files];
    const items = templates.items;
    if (!files.size)
      replace(
        place,
        empty(
          t("A file is needed"),
          t(
            "Upload the file to map. What it is mapped onto is a target that you save here, or a second file with the columns that you want.",
          ),
          h("a.button.primary", { href: "#/jobs" }, t("Upload files")),
        ),
      );
    else replace(place, choice(options, items, about, chosenTarget));
    replace(
      editor,
      targetEditor(options, (saved) => load(TEMPLATE + saved.template_id).catch(fail)),
    );
    drawRecent(jobs.items.filter((job) => job.processor === "mapping"));
    drawKept(items);
  }

  function choice(options, templates, about, chosenTarget) {
    const input = select(
      [["", t("choose …")], ...options],
      options.length === 1 ? options[0][0] : "",
      {
        required: true,
        "aria-label": t("Input file"),
      },
    );
    const group = (label, entries) =>
      entries.length > 0 &&
      h(
        "optgroup",
        { label },
        entries.map(([value, text]) => h("option", { value }, text)),
      );
    const target = h(
      "select",
      { required: true, "aria-label": t("Target") },
      h("option", { value: "" }, t("choose …")),
      group(
        t("Saved"),
        templates.map((each) => [
          TEMPLATE + each.template_id,
          `${each.name} · ${plural(each.columns.length, "column")} · ${when(each.created_at)}`,
        ]),
      ),
      group(
        t("The columns of a file"),
        options.map(([id, label]) => [FILE + id, label]),
      ),
    );
    target.value = chosenTarget;
    const offer = h("div", { role: "status" });
    const provider = select(
      [
        ["local", t("Here, on this machine")],
        ...(about.language_model ? [["openai", t("A language model")]] : []),
      ],
      "local",
    );

    /** Offers a template that maps columns of the chosen file. */
    async function look() {
      replace(offer);
      const wanted = input.value;
      if (!wanted) return;
      const { columns } = await beginningOf(wanted);
      if (wanted !== input.value) return;
      const fitting = templates.find((each) => fits(each, columns));
      if (!fitting) return;
      if (!target.value) target.value = TEMPLATE + fitting.template_id;
      replace(
        offer,
        h(
          "p.note",
          {},
          t("A file with these columns was mapped before. Its template is “{name}”.", {
            name: fitting.name,
          }),
          " ",
          target.value !== TEMPLATE + fitting.template_id &&
            button(t("Use it"), () => {
              target.value = TEMPLATE + fitting.template_id;
              replace(offer);
            }),
        ),
      );
    }
    input.addEventListener("change", () => look().catch(() => {}));
    if (input.value) look().catch(() => {});

    async function propose(event) {
      event.preventDefault();
      const isTemplate = target.value.startsWith(TEMPLATE);
      const id = target.value.slice((isTemplate ? TEMPLATE : FILE).length);
      try {
        const { job_id } = await api.post("/api/v1/jobs/mapping", {
          input_file_id: input.value,
          [isTemplate ? "template_id" : "reference_file_id"]: id,
          provider: provider.value,
        });
        location.hash = `#/mapping/${job_id}`;
      } catch (error) {
        fail(error);
      }
    }
    return h(
      "form.card.form",
      { onsubmit: propose },
      field(t("Input file"), input, t("The file to map.")),
      field(
        t("Target"),
        target,
        t("What you want: a saved target or template, or the columns of a file."),
      ),
      field(t("Compared"), provider),
      offer,
      h(
        "div.form-end",
        {},
        button(t("Propose a mapping"), null, { kind: "primary", type: "submit" }),
      ),
    );
  }

  function drawRecent(done) {
    replace(
      recent,
      h("h2", {}, t("Earlier mappings")),
      done.length
        ? h(
            "ul.plain",
            {},
            done
              .slice(0, 20)
              .map((job) =>
                h(
                  "li",
                  {},
                  badge(standing(job)),
                  h(
                    "a.clip",
                    { href: `#/mapping/${job.job_id}` },
                    `${job.filename} · #${job.number}`,
                  ),
                  h("span.muted", {}, ago(job.created_at)),
                ),
              ),
          )
        : h("p.muted", {}, t("None yet.")),
    );
  }

  function drawKept(items) {
    replace(
      kept,
      h("h2", {}, t("Templates and targets")),
      items.length
        ? h(
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
                  t("{columns} · version {version}", {
                    columns: plural(each.columns.length, "column"),
                    version: each.version,
                  }),
                ),
                iconButton("remove", t("Delete {name}", { name: each.name }), (event) => {
                  const row = event.target.closest("li");
                  row.hidden = true;
                  removeLater(
                    `/api/v1/templates/${each.template_id}`,
                    t("{name} is deleted", { name: each.name }),
                    { onundo: () => (row.hidden = false) },
                  );
                }),
              ),
            ),
          )
        : h(
            "p.muted",
            {},
            t("An accepted mapping is saved as a template, and proposed first next time."),
          ),
    );
  }

  load().catch((error) => replace(place, problem(error, t("This cannot be loaded"))));
  return {
    title: t("Mapping"),
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, t("Map columns"))),
      place,
      lists,
      h("details.new-target", {}, h("summary", {}, t("Save a target")), editor),
    ),
    dispose() {},
  };
}

/** Whether a template maps columns, all of which are among these. */
function fits({ columns }, header) {
  const used = columns.flatMap((each) => each.input_columns);
  return used.length > 0 && used.every((name) => header.includes(name));
}

// -------------------------------------------------------------------- the proposal

function board(id) {
  const node = h("div.page", {}, spinner());
  let timer = null;
  let panel = null;
  let isGone = false;

  async function follow() {
    const bar = progressBar(t("Progress of the mapping"));
    const stage = h("p.muted", { role: "status" }, t("Waiting in the queue …"));
    replace(
      node,
      h("div.page-head", {}, h("h1", {}, t("Comparing the columns"))),
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
    const template = await templateOf(result);
    if (!isGone) draw(result, template);
  }

  /** The template that the file was mapped onto; null if there is none, or none any more. */
  const templateOf = ({ template_id: known }) =>
    known ? api.get(`/api/v1/templates/${known}`).catch(() => null) : null;

  function draw(result, template) {
    const inputs = result.matrix?.input_columns ?? result.input_columns.map((each) => each.name);
    const shownOf = (columns) => new Map((columns ?? []).map((each) => [each.name, each]));
    const inputColumns = shownOf(result.input_columns);
    const targets = shownOf(result.reference_columns);
    const required = new Set(
      (template?.target ?? []).filter((each) => each.required).map((each) => each.name),
    );
    const state = result.mappings.map((proposed) => ({
      proposed,
      given: [...proposed.input_columns],
      choices: new Map(),
      /** The steps that were edited here; null while they are as proposed. */
      steps: null,
      rules: required.has(proposed.reference_column) ? { required: true } : {},
      isEdited: false,
      examples: null,
    }));
    const checks = h("textarea", {
      rows: 2,
      placeholder: "year(start_date) > 2000",
      spellcheck: "false",
      oninput: () => panel.update(),
    });
    const tray = h("ul.chips");
    const pairs = h("ol.pairs", { "aria-label": t("Target columns") });
    const summary = h("p.muted", { role: "status" });
    panel = transformPanel(result.input_file_id, { columns, validation }, showExamples);
    const name = h("input", {
      required: true,
      maxlength: 200,
      value: template?.name ?? "",
      placeholder: t("Name of the template"),
    });
    const isAsProposed = (each) =>
      each.given.join(JOINED) === each.proposed.input_columns.join(JOINED);
    const isWeak = (each) =>
      isAsProposed(each) && each.given.length > 0 && each.proposed.confidence < SURE;
    const stepsOf = (each) => {
      if (each.steps) return each.steps;
      if (!isAsProposed(each)) return [];
      return each.proposed.conversion.flatMap((step, i) => decided(step, each.choices.get(i)));
    };

    /** Returns the current mapping in the form of templates and transforms. */
    function columns() {
      return state.map((each) => ({
        reference_column: each.proposed.reference_column,
        input_columns: each.given,
        conversion: each.given.length ? stepsOf(each) : [],
      }));
    }

    function validation() {
      const rules = state.map((each) => [each.proposed.reference_column, each.rules]);
      const written = checks.value.split("\n").map((line) => line.trim());
      return {
        columns: Object.fromEntries(rules.filter(([, rule]) => Object.keys(rule).length)),
        checks: written.filter(Boolean).map((expression) => ({ expression })),
      };
    }

    function ask(each, step, i) {
      const asked = question(step);
      if (!asked || each.steps) return null;
      const label = `${each.proposed.reference_column}: ${asked.label}`;
      const choice = select([["", t("choose …")], ...asked.options], each.choices.get(i) ?? "", {
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
      for (const each of state)
        if (each.given.includes(column)) {
          each.given = each.given.filter((used) => used !== column);
          each.steps = null;
        }
      const target = state[index];
      target.given = column ? [column] : [];
      target.steps = null;
      target.examples = null;
      const names = { column, target: target.proposed.reference_column };
      announce(
        column ? t("{column} is mapped to {target}", names) : t("{target} is not mapped", names),
      );
      show();
    }

    /** Some values of a column, so that it can be told from others of a like name. */
    const sampleOf = (known) =>
      known?.values.length > 0 && h("span.sample.clip", {}, known.values.join(" · "));

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
        sampleOf(inputColumns.get(column)),
        isUsed && h("span.hidden", {}, ` ${t("(mapped)")}`),
      );
    }

    /** What the conversion does: values before and after, and what it would lose. */
    function effects(each) {
      const { trial } = each.proposed;
      const isTried = isAsProposed(each) && !each.steps && trial;
      const pairs =
        each.examples ??
        (isTried ? trial.examples.map(({ before, after }) => [before, after]) : []);
      const shown = pairs.filter(([before, after]) => before !== after).slice(0, 3);
      const lost =
        isTried &&
        trial.lost > 0 &&
        t("Of {rows} tried, {lost} would lose a value: {values}", {
          rows: plural(trial.rows, "row"),
          lost: count(trial.lost),
          values: trial.lost_values
            .map(({ row_number: number, value }) =>
              t("row {number} “{value}”", { number: count(number), value }),
            )
            .join(", "),
        });
      return [
        shown.length > 0 &&
          h(
            "ul.examples",
            { "aria-label": t("Values before and after") },
            shown.map(([before, after]) =>
              h("li", {}, h("span", {}, before), " → ", h("b", {}, after === "" ? "∅" : after)),
            ),
          ),
        lost && h("p.lost", {}, lost),
      ];
    }

    function editor(each) {
      const name = each.proposed.reference_column;
      const changed = () => {
        each.examples = null;
        panel.update();
      };
      const details = h(
        "details.edit",
        { open: each.isEdited },
        h("summary", {}, t("Steps and rules"), h("span.hidden", {}, ` ${name}`)),
      );
      details.addEventListener("toggle", () => {
        if (details.open === each.isEdited) return;
        each.isEdited = details.open;
        if (details.open) fill();
      });
      const fill = () => {
        if (details.children.length > 1) return;
        // An undecided step is edited with what is known of it.
        const steps =
          each.steps ??
          stepsOf(each).map(({ decide, readings, unknown, suggested, lost, ...step }) =>
            structuredClone(step),
          );
        details.append(
          each.given.length
            ? stepsEditor(steps, name, () => {
                const isFirst = !each.steps;
                each.steps = steps;
                if (isFirst) dropQuestions(each);
                changed();
              })
            : h("p.muted", {}, t("Map a column to convert its values.")),
          rulesEditor(each.rules, name, changed),
        );
      };
      if (each.isEdited) fill();
      return details;
    }

    /** The steps are edited now, so that nothing is asked of those that were proposed. */
    function dropQuestions(each) {
      const row = pairs.querySelector(
        `[data-reference="${CSS.escape(each.proposed.reference_column)}"]`,
      );
      for (const old of row?.querySelectorAll(".question, .lost, .steps") ?? []) old.remove();
    }

    function showExamples(examples) {
      for (const each of state) {
        const name = each.proposed.reference_column;
        if (!examples.has(name)) continue;
        each.examples = examples.get(name);
        const row = pairs.querySelector(`[data-reference="${CSS.escape(name)}"] .effects`);
        if (row) replace(row, effects(each));
      }
    }

    function pair(each, index) {
      const { proposed, given } = each;
      const chosen = select(
        [
          ["", t("not mapped")],
          ...(given.length > 1 ? [[given.join(JOINED), given.join(" + ")]] : []),
          ...inputs.map((column) => [column, column]),
        ],
        given.join(JOINED),
        { "aria-label": t("Input column for {name}", { name: proposed.reference_column }) },
      );
      chosen.addEventListener("change", () => {
        assign(index, chosen.value);
        pairs.children[index].querySelector("select").focus();
      });
      const asProposed = isAsProposed(each);
      const sure = asProposed && given.length ? proposed.confidence : null;
      const byUser = given.length ? t("chosen by you") : t("left out by you");
      const why = asProposed ? proposed.reason : byUser;
      const steps = stepsOf(each);
      return h(
        `li.pair${isWeak(each) ? ".weak" : ""}`,
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
          sampleOf(targets.get(proposed.reference_column)),
          h("span.muted", {}, why),
        ),
        h(
          "div.pair-choice",
          {},
          chosen,
          sure !== null &&
            h(
              "span.score",
              { title: t("{percent} sure", { percent: percent(sure) }) },
              h(
                "span.meter",
                { "aria-hidden": "true" },
                h(`i${sure < SURE ? ".low" : ""}`, { style: { width: `${sure * 100}%` } }),
              ),
              h("b.num", {}, percent(sure)),
            ),
        ),
        isWeak(each) &&
          h(
            "p.check-pair",
            {},
            h("span.badge.warn", {}, t("please check")),
            t("This pair is unlikely, and does not count as matched."),
            button(
              t("It is right"),
              () => ((proposed.confidence = SURE), (proposed.reason = t("checked by you")), show()),
              {
                kind: "link",
              },
            ),
          ),
        given.length === 1 &&
          !asProposed &&
          h("div.pair-sample", {}, sampleOf(inputColumns.get(given[0]))),
        steps.length > 0 &&
          h(
            "ul.steps",
            { "aria-label": t("Conversion") },
            steps.map((step) => h("li", {}, describe(step))),
          ),
        h("div.effects", {}, effects(each)),
        asProposed && proposed.conversion.map((step, i) => ask(each, step, i)),
        editor(each),
        (!asProposed || each.steps) &&
          button(
            t("As proposed"),
            () => {
              each.given = [...proposed.input_columns];
              each.steps = null;
              each.examples = null;
              show();
            },
            { kind: "link" },
          ),
      );
    }

    function show() {
      const weak = state.filter(isWeak).length;
      const matched = state.filter((each) => each.given.length).length - weak;
      const values = { matched: count(matched), of: count(state.length), weak: count(weak) };
      summary.textContent = weak
        ? t("{matched} of {of} target columns matched, {weak} to check", values)
        : t("{matched} of {of} target columns matched", values);
      replace(tray, inputs.map(chip));
      replace(pairs, state.map(pair));
      panel.update();
    }

    async function keep(event) {
      event.preventDefault();
      const title = name.value.trim();
      const target = (result.reference_columns ?? []).map((each) => ({
        ...each,
        required: state.some(
          ({ proposed, rules }) =>
            proposed.reference_column === each.name && rules.required === true,
        ),
      }));
      const body = { name: title, columns: columns(), target: target.length ? target : null };
      try {
        if (template && template.name === title)
          await api.request("PUT", `/api/v1/templates/${template.template_id}`, { json: body });
        else await api.post("/api/v1/templates", { ...body, job_id: null });
        toast(t("Saved as {name}", { name: title }), {
          detail: t("Its pairs are proposed first from now on."),
        });
      } catch (error) {
        fail(error);
      }
    }

    show();
    replace(
      node,
      h("div.page-head", {}, h("h1", {}, t("Map columns")), summary),
      result.notes.map((note) => h("p.note", {}, note)),
      h(
        "div.board",
        {},
        h(
          "section.card",
          { tabindex: 0, "aria-label": t("Input columns") },
          h("h2", {}, t("Input columns")),
          h("p.muted", {}, t("Drag one to its target column, or select it there.")),
          tray,
        ),
        h("section.card", {}, h("h2", {}, t("Target columns")), pairs),
      ),
      h(
        "details.card.checks",
        {},
        h("summary", {}, t("Checks over the new columns")),
        field(t("Expressions that must be true, one a line"), checks),
      ),
      panel.node,
      h(
        "form.card.form",
        { onsubmit: keep },
        field(t("Save as a template"), name),
        h("div.form-end", {}, button(t("Keep"), null, { kind: "primary", type: "submit" })),
      ),
    );
  }

  follow().catch((error) => {
    if (!isGone)
      replace(
        node,
        problem(
          error,
          t("The mapping cannot be loaded"),
          h("a.button", { href: "#/mapping" }, t("Back")),
        ),
      );
  });
  return {
    title: t("Mapping"),
    node,
    dispose() {
      isGone = true;
      clearTimeout(timer);
      panel?.dispose();
    },
  };
}
