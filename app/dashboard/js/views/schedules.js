// Schedules: jobs of any type that start by themselves.

import * as api from "../api.js";
import { announce, field, h, replace, select } from "../dom.js";
import { count, when } from "../format.js";
import { t } from "../messages.js";
import { namedThings, outcomeInWords } from "../named.js";
import { optionFields } from "../options.js";
import { cronInWords, momentsInWords } from "../times.js";
import { fail } from "../toast.js";

const SHOWN_RUNS = 3;
/** The type of a schedule that names none. */
const USUAL_TYPE = "scoring";
const REPEATS = [
  ["", t("as written")],
  ["0 * * * *", t("every hour")],
  ["0 2 * * *", t("every day")],
  ["0 6 * * 1-5", t("Monday to Friday")],
  ["0 6 * * 1", t("every Monday")],
  ["0 6 1 * *", t("on the first of each month")],
];
const OUTCOMES = {
  begun: t("starting"),
  made: t("its job was started"),
  skipped: t("skipped"),
  failed: t("failed"),
};

/** Returns a control for the type of the jobs with their options: {fields, read()}. */
export function jobFields(first) {
  const type = select([[first, first]], first);
  const options = h("div.form.wide", { hidden: true });
  let types = [];
  let asked = optionFields();
  const draw = () => {
    asked = optionFields(types.find(({ name }) => name === type.value)?.options);
    replace(options, asked.fields, asked.more);
    options.hidden = !options.children.length;
  };
  type.addEventListener("change", draw);
  api.get("/api/v1/job-types").then(({ items }) => {
    types = items.filter(({ is_configured: isConfigured }) => isConfigured);
    replace(
      type,
      types.map(({ name, title }) =>
        h("option", { value: name, selected: name === first }, title || name),
      ),
    );
    draw();
  }, fail);
  return {
    fields: [field(t("What to do"), type), options],
    redraw: draw,
    read: () => ({ type: type.value, options: asked.read() }),
  };
}

export default function schedules() {
  const source = h("input", { required: true, placeholder: "s3://bucket/2026/*.csv" });
  const repeat = select(REPEATS, "0 2 * * *", {
    onchange: () => repeat.value && (cron.value = repeat.value),
  });
  const cron = h("input", {
    required: true,
    value: "0 2 * * *",
    oninput: () => (repeat.value = REPEATS.some(([key]) => key === cron.value) ? cron.value : ""),
  });
  const zone = h("input", { value: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC" });
  const name = h("input", { placeholder: t("Nightly orders") });
  const job = jobFields("rows");

  const view = namedThings({
    title: t("Schedules"),
    path: "/api/v1/schedules",
    add: {
      label: t("Add schedule"),
      source: () => source.value.trim(),
      fields: [
        field(
          t("Objects"),
          source,
          t("A file, a folder that ends in /, or a pattern: s3://, https:// or file:///."),
        ),
        field(t("Repeat"), repeat),
        field(t("When"), cron, t("Minute, hour, day, month, weekday.")),
        field(t("Time zone"), zone),
        field(t("Name"), name),
        ...job.fields,
      ],
      read: () => ({
        cron: cron.value.trim(),
        timezone: zone.value.trim() || "UTC",
        name: name.value.trim(),
        job: { ...job.read(), source: source.value.trim() },
      }),
    },
    none: [
      t("No schedules"),
      t("A schedule starts a job at fixed times, such as every night, over the files of a source."),
    ],
    oncreated: job.redraw,
    describe: (each, path, load) => ({
      title: each.name || each.job.source || each.job.type || USUAL_TYPE,
      subtitle: [
        h("span", { title: each.cron }, cronInWords(each.cron)),
        ` · ${[each.timezone, each.job.type ?? USUAL_TYPE, each.job.source].filter(Boolean).join(" · ")}`,
      ],
      run: {
        label: t("Run now"),
        send: () => api.post(`${path}/run`).then(() => (announce(t("Started")), load())),
      },
      isOn: !each.paused,
      turn: {
        label: each.paused ? t("Go on") : t("Pause"),
        body: { paused: !each.paused },
      },
      facts: [
        [
          t("Next runs"),
          each.paused
            ? t("paused")
            : momentsInWords(each.next_runs.slice(0, SHOWN_RUNS), each.timezone),
        ],
        [
          t("Last run"),
          each.last_job_id
            ? h("a", { href: `#/jobs/${each.last_job_id}` }, when(each.last_run_at))
            : when(each.last_run_at),
        ],
        [t("Outcome"), outcomeInWords(each.last_outcome, OUTCOMES)],
        [t("Runs"), count(each.runs)],
        [t("Skipped, missed"), `${count(each.skipped)}, ${count(each.missed)}`],
      ],
    }),
  });
  return view;
}
