// Search in imported records by meaning, words and import.

import * as api from "../api.js";
import { button, empty, field, h, replace, select } from "../dom.js";
import { count, plural } from "../format.js";
import { badge, spinner } from "../parts.js";

const PAGE = 25;

export default function search({ params }) {
  const meaning = h("input", {
    type: "search",
    value: params.get("query") ?? "",
    placeholder: "people who write software",
  });
  const words = h("input", {
    type: "search",
    value: params.get("text") ?? "",
    placeholder: "part of any value",
  });
  const status = select(
    [
      ["", "Valid and invalid"],
      ["valid", "Valid"],
      ["invalid", "Invalid"],
    ],
    params.get("status") ?? "",
  );
  const imports = select([["", "All imports"]], "");
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
          ? "all searchable by meaning"
          : `${count(ready)} of ${count(total)} searchable by meaning so far`;
      replace(
        overview,
        `${plural(stats.total_records, "record")} in ${plural(stats.total_imports, "import")}; ` +
          `${count(stats.valid_records)} valid, ${count(stats.invalid_records)} invalid; ` +
          searchable,
      );
      if (!stats.total_imports)
        replace(
          place,
          empty(
            "No records yet",
            "Upload a file with the processor People on the jobs page; its valid records can be searched here.",
            h("a.button.primary", { href: "#/jobs" }, "Upload a file"),
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
    if (!more) replace(place, spinner("Searching …"));
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
        return replace(place, empty("Nothing fits", "Try other words, or fewer conditions."));
      replace(place, h("ol.records", { "aria-label": "Records" }, cards));
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
          button("Show more", () => run(next)),
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
          h("span.muted", {}, `import ${record.import_id} · row ${count(record.row_number)}`),
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
            h(
              "b.num",
              { title: "Cosine similarity of the meanings; 1 means equal" },
              score.toFixed(3),
            ),
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
    title: "Search",
    node: h(
      "div.page",
      {},
      h("div.page-head", {}, h("h1", {}, "Search records")),
      overview,
      h(
        "form.card.form",
        { role: "search", onsubmit: (event) => (event.preventDefault(), run()) },
        field("By meaning", meaning),
        field("By words", words),
        field("Status", status),
        field("Import", imports),
      ),
      place,
    ),
    dispose() {
      turn += 1;
      clearTimeout(timer);
    },
  };
}
