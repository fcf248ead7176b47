// Transforms the file by a mapping: a preview of the first rows, then the whole file for download.

import * as api from "../api.js";
import { announce, button, field, h, icon, replace, say, select } from "../dom.js";
import { TONES, count, isFinal, plural, standing } from "../format.js";
import { t } from "../messages.js";
import { progressBar } from "../parts.js";
import { reasonName } from "../reasons.js";
import { fail } from "../toast.js";

const SAMPLE_ROWS = 1000;
const SHOWN_ROWS = 8;
const QUIET_MS = 350;
const FORMATS = [
  ["csv", "CSV"],
  ["jsonl", "JSON Lines"],
  ["parquet", "Parquet"],
  ["arrow", "Arrow"],
  ["xlsx", "Excel"],
];

// -------------------------------------------------------------------- preview and run

/** Returns a name for a column that no column has. */
function free(name, taken) {
  while (taken.has(name)) name = `${name}_`;
  taken.add(name);
  return name;
}

/** `wanted.columns()` returns the current mapping in the form of templates, and `wanted.validation()`
 *  its rules. `onexamples` gets, by target column, values before and after its steps. `update` reads
 *  all of it again. */
export function transformPanel(fileId, wanted, onexamples = (_examples) => {}) {
  const verdict = h("p", { role: "status" }, "…");
  const table = h("div.scroll", { tabindex: 0, role: "region", "aria-label": t("First rows") });
  const output = select(FORMATS, "csv", { "aria-label": t("Output format") });
  const run = button(t("Transform the file"), start, { kind: "primary", iconName: "play" });
  const bar = progressBar(t("Progress of the transform"));
  const made = h("p", { role: "status" });
  const result = h("div.transform-result", { hidden: true }, bar, made);
  let timer = null;
  let asked = null;
  let stop = () => {};

  const request = () => ({
    input_file_id: fileId,
    mapping: { columns: wanted.columns() },
    validation: wanted.validation(),
    output_format: output.value,
  });
  const mapped = () => wanted.columns().some((each) => each.input_columns.length);
  const isOpen = () => wanted.columns().some((each) => each.conversion.some((step) => step.decide));

  /** Columns that show the values before the steps: [place of the target column, column]. */
  function probes(columns) {
    const taken = new Set(columns.map((each) => each.reference_column));
    return columns.flatMap((each, place) =>
      each.conversion.length && each.input_columns.length === 1
        ? [
            [
              place,
              {
                reference_column: free(`${each.reference_column} (before)`, taken),
                input_columns: each.input_columns,
                conversion: [],
              },
            ],
          ]
        : [],
    );
  }

  async function preview() {
    asked?.abort();
    asked = new AbortController();
    const wish = request();
    const before = probes(wish.mapping.columns);
    const width = wish.mapping.columns.length;
    wish.mapping.columns = [...wish.mapping.columns, ...before.map(([, column]) => column)];
    try {
      const report = await api.post(
        "/api/v1/jobs/transform",
        { ...wish, output_format: "csv", dry_run: true, sample_rows: SAMPLE_ROWS },
        { signal: asked.signal },
      );
      show(report, width);
      onexamples(examplesOf(report, before, width));
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(table);
      verdict.className = "note";
      say(verdict, [error.title, error.message].filter(Boolean).join(": "));
      run.disabled = true;
    }
  }

  function examplesOf({ preview: rows, columns }, before, width) {
    const examples = new Map();
    before.forEach(([place], index) => {
      const pairs = new Map();
      for (const { data } of rows) {
        const [old, value] = [data[width + index], data[place]];
        if (old !== null && String(old) !== String(value ?? "")) pairs.set(old, value ?? "");
      }
      examples.set(columns[place].name, [...pairs].slice(0, 3));
    });
    return examples;
  }

  function show({ rows, sampled_rows, columns, preview, rejects, rejected_by_code }, width) {
    run.disabled = false;
    verdict.className = rows.rejected ? "note" : "muted";
    const why = Object.entries(rejected_by_code)
      .map(([code, number]) => `${reasonName(code)} (${count(number)})`)
      .join(", ");
    const values = {
      rows: plural(sampled_rows, "row"),
      fit: count(rows.ok),
      rejected: count(rows.rejected),
      why,
    };
    say(
      verdict,
      rows.rejected
        ? t("Of the first {rows} {fit} fit, {rejected} would be rejected: {why}", values)
        : t("Of the first {rows} {fit} fit.", values),
    );
    replace(
      table,
      h(
        "table",
        {},
        h("caption.hidden", {}, t("The first transformed rows")),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("Row")),
            columns
              .slice(0, width)
              .map((each) => h("th", { scope: "col", title: each.type }, each.name)),
          ),
        ),
        h(
          "tbody",
          {},
          preview.slice(0, SHOWN_ROWS).map(({ row_number, data }) =>
            h(
              "tr",
              {},
              h("td.muted.num", {}, count(row_number)),
              data
                .slice(0, width)
                .map((cell) =>
                  h("td", {}, cell === null ? h("span.muted", {}, "∅") : String(cell)),
                ),
            ),
          ),
        ),
      ),
      rejects.length > 0 &&
        h(
          "ul.plain",
          { "aria-label": t("First rows that would be rejected") },
          rejects
            .slice(0, 3)
            .map((each) =>
              h(
                "li",
                {},
                h("b", {}, t("Row {number}", { number: count(each.row_number) })),
                h("span.clip", {}, `${each.column ? `${each.column}: ` : ""}${each.message}`),
              ),
            ),
        ),
    );
  }

  async function start() {
    run.disabled = true;
    stop();
    try {
      const { job_id } = await api.post("/api/v1/jobs/transform", request());
      result.hidden = false;
      bar.show(0);
      say(made, t("Waiting in the queue …"));
      announce(t("Transforming"));
      stop = api.live(`/api/v1/status/${encodeURIComponent(job_id)}/events`, {
        status: (now) => {
          bar.show(now.progress_percent, isFinal(now.status) ? TONES[standing(now)] : "busy");
          if (!isFinal(now.status))
            return say(
              made,
              t("{percent} % · {rows} so far", {
                percent: now.progress_percent,
                rows: plural(now.counts.loaded, "row"),
              }),
            );
          stop();
          finish(now).catch(fail);
        },
      });
    } catch (error) {
      run.disabled = false;
      fail(error);
    }
  }

  async function finish(job) {
    run.disabled = false;
    const bad = job.counts.rejected;
    const { result_file_id: file } = await api.get(
      `/api/v1/jobs/${encodeURIComponent(job.job_id)}/status`,
    );
    const loaded = plural(job.counts.loaded, "row is", "rows are");
    const words =
      {
        cancelled: () => t("The transform was cancelled."),
        failed: () =>
          t("The transform failed: {why}.", {
            why: job.error?.message ?? job.error?.code ?? t("see the job"),
          }),
      }[job.status]?.() ??
      (bad
        ? t("{rows} in the new file, {count} rejected.", { rows: loaded, count: count(bad) })
        : t("{rows} in the new file.", { rows: loaded }));
    replace(
      made,
      `${words} `,
      file &&
        h(
          "a.button.primary",
          { href: `/api/v1/files/${file}/download`, download: true },
          icon("download"),
          t("Download"),
        ),
      " ",
      h(
        "a",
        { href: `#/jobs/${job.job_id}${bad ? "/rejects" : ""}` },
        bad ? t("Show the rejected rows") : t("Show the job"),
      ),
    );
    announce(words);
  }

  function update() {
    clearTimeout(timer);
    if (!mapped() || isOpen()) {
      asked?.abort();
      replace(table);
      verdict.className = "muted";
      say(
        verdict,
        mapped()
          ? t("Answer the questions above to see the first rows here.")
          : t("Map a column to see the first rows here."),
      );
      run.disabled = true;
    } else timer = setTimeout(preview, QUIET_MS);
  }

  output.addEventListener("change", update);
  return {
    node: h(
      "section.card",
      {},
      h("h2", {}, t("First rows, transformed")),
      verdict,
      table,
      h("div.form", {}, field(t("Write it as"), output), h("div.form-end", {}, run)),
      result,
    ),
    update,
    dispose() {
      clearTimeout(timer);
      asked?.abort();
      stop();
    },
  };
}
