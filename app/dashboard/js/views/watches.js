// Watches: each new file of a bucket or folder becomes a job.

import * as api from "../api.js";
import { announce, button, empty, field, h, iconButton, replace } from "../dom.js";
import { bytes, count, when } from "../format.js";
import { facts, spinner } from "../parts.js";
import { fail, removeLater } from "../toast.js";

const SHOWN = 10;

export default function watches() {
  const place = h("div", {}, spinner());
  const source = h("input", { required: true, placeholder: "s3://partners/inbox/*.csv" });
  const type = h("input", { required: true, value: "rows" });
  const every = h("input", { required: true, type: "number", min: 1, max: 86400, value: 30 });
  const name = h("input", { placeholder: "Inbox" });
  const form = h(
    "form.card.form",
    { onsubmit: create },
    field("Source", source, "A prefix that ends in /, a pattern, or file:///folder/."),
    field("Type of the jobs", type),
    field("Seconds between checks", every),
    field("Name", name),
    h("div.form-end", {}, button("Add watch", null, { kind: "primary", type: "submit" })),
  );

  async function create(event) {
    event.preventDefault();
    try {
      await api.post("/api/v1/watches", {
        source: source.value.trim(),
        every_seconds: Number(every.value),
        name: name.value.trim(),
        job: { type: type.value.trim() },
      });
      form.reset();
      announce("Watch created");
      load();
    } catch (error) {
      fail(error);
    }
  }

  const load = api.latest(
    () => api.get("/api/v1/watches"),
    ({ items }) =>
      replace(
        place,
        items.length
          ? h("ul.cards", {}, items.map(card))
          : empty("No watches", "A watch starts a job for each new file of a bucket or folder."),
      ),
    (error) =>
      replace(
        place,
        empty(error.title, `${error.message} ${error.remedy}`, button("Try again", load)),
      ),
  );

  function card(each) {
    const path = `/api/v1/watches/${each.id}`;
    const title = each.name || each.source;
    const act = (call) => () => call().then(load, fail);
    const outcome = each.last_outcome;
    const history = h("div");
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
          h("p.muted.clip", {}, `${each.job.type} · ${each.source}`),
        ),
        h(
          "div.row",
          {},
          button(
            "Check now",
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
        ["Next check", each.paused ? "paused" : when(each.next_check_at)],
        ["Last check", when(each.last_checked_at)],
        [
          "Outcome",
          outcome
            ? `${outcome.outcome}${outcome.message ? `: ${outcome.message}` : ""}`
            : "not yet",
        ],
        ["Jobs", count(each.jobs)],
        ["Waiting, failed", `${count(each.waiting)}, ${count(each.failed)}`],
      ]),
      h(
        "details",
        { ontoggle: (event) => event.target.open && showHistory(path, history) },
        h("summary", {}, "Latest files"),
        history,
      ),
    );
  }

  async function showHistory(path, node) {
    try {
      const { items } = await api.get(`${path}/objects?limit=${SHOWN}`);
      replace(
        node,
        items.length ? h("ul", {}, items.map(entry)) : h("p.muted", {}, "None was seen yet."),
      );
    } catch (error) {
      fail(error);
    }
  }

  function entry(each) {
    const label = `${each.uri} · ${bytes(each.size_bytes)} · ${when(each.seen_at)}`;
    const state = each.error ? `${each.status}: ${each.error.message}` : each.status;
    return h(
      "li",
      {},
      each.job_id ? h("a", { href: `#/jobs/${each.job_id}` }, label) : label,
      h("p.muted", {}, state),
    );
  }

  load();
  return {
    title: "Watches",
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, "Watches")), form, place),
    dispose() {},
  };
}
