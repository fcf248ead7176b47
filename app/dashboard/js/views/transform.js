// Transforms the file by a mapping: a preview of the first rows, then the whole file for download.

import * as api from "../api.js";
import { announce, button, field, h, icon, replace, say, select } from "../dom.js";
import { TONES, count, isFinal, plural, standing } from "../format.js";
import { progressBar } from "../parts.js";
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

// -------------------------------------------------------------------- open choices

const NUMBERS = [
  ["en", "1,234.5"],
  ["de", "1.234,5"],
];
const OTHERS = [
  ["reject", "are rejected"],
  ["keep", "stay as they are"],
  ["empty", "become empty"],
];
const LEFT_OUT = "left out";
const TAKEN = "taken";

/** The open choice of a step as {label, options}; null if there is none. */
export function question(step) {
  if (!step.decide) return null;
  if (step.lost) {
    const label = `The step ${step.operation} does not keep all of ${step.lost.slice(0, 5).join(", ")}`;
    return {
      label,
      options: [
        [TAKEN, "take it all the same"],
        [LEFT_OUT, "leave this step out"],
      ],
    };
  }
  const [label, options] = {
    date_format: ["The dates are written", (step.readings ?? []).map((each) => [each, each])],
    cast: ["The numbers are written like", NUMBERS],
    value_table: [
      `Values without a counterpart (${(step.unknown ?? []).slice(0, 5).join(", ")})`,
      OTHERS,
    ],
  }[step.operation] ?? [`The step ${step.operation}`, []];
  return { label, options: [...options, [LEFT_OUT, "leave this step out"]] };
}

/** Returns the step with its choice, as a list of one or none. */
export function decided(step, choice) {
  if (!step.decide || !choice) return [step];
  const { decide, readings, unknown, suggested, lost, ...rest } = step;
  if (choice === LEFT_OUT) return [];
  if (choice === TAKEN) return [rest];
  if (step.operation === "date_format") return [{ ...rest, from: choice }];
  if (step.operation === "cast")
    return [
      {
        ...rest,
        ...(choice === "de" ? { decimal: ",", thousands: "." } : { decimal: ".", thousands: "," }),
      },
    ];
  return [{ ...rest, otherwise: choice }];
}

// -------------------------------------------------------------------- preview and run

/** `columns()` returns the current mapping in the form of templates; `update` reads it again. */
export function transformPanel(fileId, columns) {
  const verdict = h("p", { role: "status" }, "…");
  const table = h("div.scroll", { tabindex: 0, role: "region", "aria-label": "First rows" });
  const output = select(FORMATS, "csv", { "aria-label": "Output format" });
  const run = button("Transform the file", start, { kind: "primary", iconName: "play" });
  const bar = progressBar("Progress of the transform");
  const made = h("p", { role: "status" });
  const result = h("div.transform-result", { hidden: true }, bar, made);
  let timer = null;
  let asked = null;
  let stop = () => {};

  const request = () => ({
    input_file_id: fileId,
    mapping: { columns: columns() },
    output_format: output.value,
  });
  const mapped = () => columns().some((each) => each.input_columns.length);
  const isOpen = () => columns().some((each) => each.conversion.some((step) => step.decide));

  async function preview() {
    asked?.abort();
    asked = new AbortController();
    try {
      show(
        await api.post(
          "/api/v1/jobs/transform",
          { ...request(), dry_run: true, sample_rows: SAMPLE_ROWS },
          { signal: asked.signal },
        ),
      );
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(table);
      verdict.className = "note";
      say(verdict, `${error.title}: ${error.message}`);
      run.disabled = true;
    }
  }

  function show({ rows, sampled_rows, columns: made, preview, rejects, rejected_by_code }) {
    run.disabled = false;
    verdict.className = rows.rejected ? "note" : "muted";
    const why = Object.entries(rejected_by_code)
      .map(([code, number]) => `${code} (${count(number)})`)
      .join(", ");
    const rejected = rows.rejected ? `, ${count(rows.rejected)} would be rejected: ${why}` : ".";
    say(verdict, `Of the first ${plural(sampled_rows, "row")} ${count(rows.ok)} fit${rejected}`);
    replace(
      table,
      h(
        "table",
        {},
        h("caption.hidden", {}, "The first transformed rows"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "Row"),
            made.map((each) => h("th", { scope: "col", title: each.type }, each.name)),
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
              data.map((cell) =>
                h("td", {}, cell === null ? h("span.muted", {}, "∅") : String(cell)),
              ),
            ),
          ),
        ),
      ),
      rejects.length > 0 &&
        h(
          "ul.plain",
          { "aria-label": "First rows that would be rejected" },
          rejects
            .slice(0, 3)
            .map((each) =>
              h(
                "li",
                {},
                h("b", {}, `Row ${count(each.row_number)}`),
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
      say(made, "Waiting in the queue …");
      announce("Transforming");
      stop = api.live(`/api/v1/status/${encodeURIComponent(job_id)}/events`, {
        status: (now) => {
          bar.show(now.progress_percent, isFinal(now.status) ? TONES[standing(now)] : "busy");
          if (!isFinal(now.status))
            return say(
              made,
              `${now.progress_percent} % · ${plural(now.counts.loaded, "row")} so far`,
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
    const rejected = bad ? `, ${count(bad)} rejected` : "";
    const words =
      {
        cancelled: "The transform was cancelled. ",
        failed: `The transform failed: ${job.error?.message ?? job.error?.code ?? "see the job"}. `,
      }[job.status] ??
      `${plural(job.counts.loaded, "row is", "rows are")} in the new file${rejected}. `;
    replace(
      made,
      words,
      file &&
        h(
          "a.button.primary",
          { href: `/api/v1/files/${file}/download`, download: true },
          icon("download"),
          "Download",
        ),
      " ",
      h(
        "a",
        { href: `#/jobs/${job.job_id}${bad ? "/rejects" : ""}` },
        bad ? "Show the rejected rows" : "Show the job",
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
          ? "Answer the questions above to see the first rows here."
          : "Map a column to see the first rows here.",
      );
      run.disabled = true;
    } else timer = setTimeout(preview, QUIET_MS);
  }

  output.addEventListener("change", update);
  return {
    node: h(
      "section.card",
      {},
      h("h2", {}, "First rows, transformed"),
      verdict,
      table,
      h("div.form", {}, field("Write it as", output), h("div.form-end", {}, run)),
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
