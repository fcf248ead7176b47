// Schedules of scoring jobs.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace } from "../dom.js";
import { count, when } from "../format.js";
import { facts, spinner } from "../parts.js";
import { fail, removeLater } from "../toast.js";

export default function schedules() {
  const place = h("div", {}, spinner());
  const source = h("input", { required: true, placeholder: "s3://transactions/2026/*.csv" });
  const cron = h("input", { required: true, placeholder: "0 2 * * *" });
  const zone = h("input", { value: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC" });
  const name = h("input", { placeholder: "Nightly scoring" });
  const form = h(
    "form.card.form",
    { onsubmit: create },
    field("Objects", source, "One object, a prefix that ends in /, or a pattern."),
    field("When", cron, "Minute, hour, day, month, weekday."),
    field("Time zone", zone),
    field("Name", name),
    h("div.form-end", {}, button("Add schedule", null, { kind: "primary", type: "submit" })),
  );

  async function create(event) {
    event.preventDefault();
    try {
      await api.post("/api/v1/schedules", {
        cron: cron.value.trim(),
        timezone: zone.value.trim() || "UTC",
        name: name.value.trim(),
        job: { source: source.value.trim() },
      });
      form.reset();
      announce("Schedule created");
      load();
    } catch (error) {
      fail(error);
    }
  }

  const load = api.latest(
    () => api.get("/api/v1/schedules"),
    ({ items }) =>
      replace(
        place,
        items.length
          ? h("ul.cards", {}, items.map(card))
          : empty(
              "No schedules",
              "A schedule scores the objects of a bucket at the times of a cron expression.",
            ),
      ),
    (error) =>
      replace(
        place,
        empty(error.title, `${error.message} ${error.remedy}`, button("Try again", load)),
      ),
  );

  function card(each) {
    const path = `/api/v1/schedules/${each.id}`;
    const title = each.name || each.job.source;
    const act = (call) => () => call().then(load, fail);
    const outcome = each.last_outcome
      ? `${each.last_outcome.outcome}${each.last_outcome.message ? `: ${each.last_outcome.message}` : ""}`
      : "not yet";
    return h(
      "li.card",
      {},
      h(
        "div.row.between",
        {},
        h(
          "div.clip",
          {},
          h("h2.clip", {}, title),
          h("p.muted.clip", {}, `${each.cron} · ${each.timezone} · ${each.job.source}`),
        ),
        h(
          "div.row",
          {},
          button(
            "Run now",
            act(() => api.post(`${path}/run`)),
            { iconName: "play" },
          ),
          button(
            each.paused ? "Go on" : "Pause",
            act(() => api.patch(path, { paused: !each.paused })),
            { iconName: each.paused ? "play" : "pause" },
          ),
          iconButton("remove", `Delete ${title}`, (event) => {
            event.target.closest("li").hidden = true;
            removeLater(path, `${title} is deleted`, { onundo: load });
          }),
        ),
      ),
      facts([
        ["Next run", each.paused ? "paused" : when(each.next_runs[0])],
        [
          "Last run",
          each.last_job_id
            ? h("a", { href: `#/jobs/${each.last_job_id}` }, when(each.last_run_at))
            : when(each.last_run_at),
        ],
        ["Outcome", outcome],
        ["Runs", count(each.runs)],
        ["Skipped, missed", `${count(each.skipped)}, ${count(each.missed)}`],
      ]),
    );
  }

  load();
  return {
    title: "Schedules",
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, "Schedules")), form, place),
    dispose() {},
  };
}
