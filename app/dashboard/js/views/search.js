// Search in imported records by meaning, words and import.

import * as api from "../api.js";
import { button, empty, field, h, replace, select } from "../dom.js";
import { count, plural } from "../format.js";
import { t } from "../messages.js";
import { badge, spinner } from "../parts.js";

const PAGE = 25;

export default function search({ params }) {
  const meaning = h("input", {
    type: "search",
    value: params.get("query") ?? "",
    placeholder: t("people who write software"),
  });
  const words = h("input", {
    type: "search",
    value: params.get("text") ?? "",
    placeholder: t("part of any value"),
  });
  const status = select(
    [
      ["", t("Valid and invalid")],
      ["valid", t("Valid")],
      ["invalid", t("Invalid")],
    ],
    params.get("status") ?? "",
  );
  const imports = select([["", t("All imports")]], "");
  const place = h("div", { "aria-live": "polite" });
  const overview = h("p.muted");
  let timer = null;
  let turn = 0;
  let mode = "";

  Promise.all([api.get("/api/imports?limit=200"), api.get("/api/stats")]).then(
    ([list, stats]) => {
      imports.append(
        ...list.imports.map((each) =>
          h("option", { value: each.id }, `${each.filename} (${count(each.valid_records)})`),
        ),
      );
      const { total, ready } = stats.vectors;
      const searchable =
        total === ready
          ? t("all searchable by meaning")
          : t("{ready} of {total} searchable by meaning so far", {
              ready: count(ready),
              total: count(total),
            });
      replace(
        overview,
        t("{records} in {imports}; {valid} valid, {invalid} invalid; {searchable}", {
          records: plural(stats.total_records, "record"),
          imports: plural(stats.total_imports, "import"),
          valid: count(stats.valid_records),
          invalid: count(stats.invalid_records),
          searchable,
        }),
      );
      if (!stats.total_imports)
        replace(
          place,
          empty(
            t("No records yet"),
            t(
              "Upload a file with the processor People on the jobs page; its valid records can be searched here, by what they mean and by words.",
            ),
            h("a.button.primary", { href: "#/jobs" }, t("Upload a file")),
          ),
        );
      else run();
    },
    (error) => replace(place, empty(error.title, `${error.message} ${error.remedy}`)),
  );

  async function run(more = null) {
    const mine = ++turn;
    const wanted = { limit: PAGE };
    if (meaning.value.trim()) wanted.query = meaning.value.trim();
    if (words.value.trim()) wanted.text = words.value.trim();
    if (status.value) wanted.status = status.value;
    if (imports.value) wanted.import_id = Number(imports.value);
    history.replaceState(
      null,
      "",
      `#${api.query("/search", { query: wanted.query, text: wanted.text, status: wanted.status })}`,
    );
    if (!more) replace(place, spinner(t("Searching …")));
    try {
      const found = await api.post("/api/records/search", { ...wanted, ...more });
      if (mine === turn) draw(found, wanted, Boolean(more));
    } catch (error) {
      if (mine === turn) replace(place, empty(error.title, `${error.message} ${error.remedy}`));
    }
  }

  function draw(found, wanted, isMore) {
    const records = found.records ?? found.items ?? found.results;
    mode = wanted.query ? "meaning" : "filter";
    const cards = records.map(card);
    if (!isMore) {
      if (!records.length)
        return replace(place, empty(t("Nothing fits"), t("Try other words, or fewer conditions.")));
      replace(place, h("ol.records", { "aria-label": t("Records") }, cards));
    } else {
      place.querySelector(".more")?.remove();
      place.querySelector(".records").append(...cards);
    }
    const next = wanted.query
      ? found.next_offset && { offset: found.next_offset }
      : found.next_after && { after: found.next_after };
    if (next)
      place.append(
        h(
          "div.more.row.center",
          {},
          button(t("Show more"), () => run(next)),
        ),
      );
    return null;
  }

  function card(record) {
    const score = record.score;
    const entries = Object.entries(record.data ?? {}).filter(
      ([, value]) => value !== null && value !== "",
    );
    const errors = record.errors ?? [];
    const wrong = new Set(errors.map((each) => each.field));
    return h(
      "li.card.record",
      {},
      h(
        "div.row.between",
        {},
        h(
          "div.row.tight",
          {},
          badge(record.status),
          h(
            "span.muted",
            {},
            t("import {id} · row {row}", {
              id: record.import_id,
              row: count(record.row_number),
            }),
          ),
        ),
        mode === "meaning" &&
          score !== undefined &&
          h(
            "span.score",
            {},
            h(
              "span.meter",
              { "aria-hidden": "true" },
              h("i", { style: { width: `${Math.max(0, score) * 100}%` } }),
            ),
            h("b.num", { title: t("How close the meanings are; 1 means equal") }, score.toFixed(3)),
          ),
      ),
      h(
        "dl.values",
        {},
        entries.map(([name, value]) =>
          h(
            `div${wrong.has(name) ? ".offending" : ""}`,
            {},
            h("dt", {}, name),
            h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value)),
          ),
        ),
      ),
      errors.length > 0 &&
        h(
          "ul.errors",
          {},
          errors.map((each) => h("li", {}, h("b", {}, each.field), ` ${each.message}`)),
        ),
    );
  }

  for (const control of [meaning, words])
    control.addEventListener("input", () => (clearTimeout(timer), (timer = setTimeout(run, 350))));
  for (const control of [status, imports]) control.addEventListener("change", () => run());
  return {
    title: t("Search"),
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, t("Search records"))),
      overview,
      h(
        "form.card.form",
        { role: "search", onsubmit: (event) => (event.preventDefault(), run()) },
        field(t("By meaning"), meaning),
        field(t("By words"), words),
        field(t("Status"), status),
        field(t("Import"), imports),
      ),
      place,
    ),
    dispose() {
      turn += 1;
      clearTimeout(timer);
    },
  };
}
