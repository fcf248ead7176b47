// Charts of the sentiment: labels of all rows, scores of the first ones, and the strongest texts
// among them.

import * as api from "../api.js";
import { empty, h, replace } from "../dom.js";
import { count, isFinal, number, plural } from "../format.js";
import { jobLink } from "../job_links.js";
import { t } from "../messages.js";
import { bars, spinner, stack } from "../parts.js";

const SAMPLE = 2000;
const BARS = 21;
const LABELS = {
  positive: { name: t("positive"), tone: "ok" },
  neutral: { name: t("neutral"), tone: "idle" },
  negative: { name: t("negative"), tone: "bad" },
};
/** Bars at least this far from 0 are drawn as positive or negative. */
const DECIDED = 0.05;

function toneOf(score) {
  if (score >= DECIDED) return "ok";
  return score <= -DECIDED ? "bad" : "idle";
}

export default function sentiment({ id, status: first }) {
  const node = h("div.grid-2", {}, spinner());
  let status = first;

  async function load() {
    let page;
    try {
      page = await api.get(
        api.query(`/api/v1/results/${encodeURIComponent(id)}`, { limit: SAMPLE, format: "object" }),
      );
    } catch (error) {
      replace(node, empty(error.title, `${error.message} ${error.remedy}`));
      return;
    }
    const rows = page.items
      .map(({ row_number: row, data }) => ({ ...data, row }))
      .filter((row) => Number.isFinite(Number(row.score)));
    if (!rows.length) return replace(node, withoutScores());
    const counts =
      status.summary ??
      Object.fromEntries(
        Object.keys(LABELS).map((name) => [
          name,
          rows.filter((row) => row.sentiment === name).length,
        ]),
      );
    const sample = plural(rows.length, "row");
    const isSample = status.counts.loaded > rows.length;
    const sums = new Array(BARS).fill(0);
    for (const row of rows)
      sums[
        Math.max(0, Math.min(BARS - 1, Math.round(((Number(row.score) + 1) / 2) * (BARS - 1))))
      ] += 1;
    const sorted = [...rows].sort((a, b) => a.score - b.score);
    const mean = rows.reduce((sum, row) => sum + Number(row.score), 0) / rows.length;
    return replace(
      node,
      h(
        "section.card.wide",
        {},
        h(
          "h2",
          {},
          status.summary
            ? t("Labels of all rows")
            : t("Labels of the first {rows}", { rows: sample }),
        ),
        stack(
          Object.entries(LABELS).map(([label, { name, tone }]) => ({
            name,
            tone,
            value: counts[label] ?? 0,
          })),
          { label: t("Rows by sentiment"), text: (part) => count(part.value) },
        ),
      ),
      h(
        "section.card.wide",
        {},
        h(
          "h2",
          {},
          isSample ? t("Scores of the first {rows}", { rows: sample }) : t("Scores of all rows"),
        ),
        h(
          "p.muted.hint",
          {},
          t(
            "A score says how positive a text is: −1 is wholly negative, 1 wholly positive, and close to 0 is neutral.",
          ),
          isSample &&
            ` ${t("The first rows are enough for the shape; the results have all scores.")}`,
        ),
        bars(
          sums.map((value, i) => {
            const middle = (i / (BARS - 1)) * 2 - 1;
            return {
              value,
              tone: toneOf(middle),
              label: t("around {score}: {rows}", {
                score: number(middle),
                rows: plural(value, "row"),
              }),
            };
          }),
          { label: t("Scores from -1 to 1; the mean is {mean}", { mean: number(mean) }) },
        ),
        h(
          "div.axis",
          {},
          h("span", {}, t("−1 negative")),
          h("span", {}, t("mean {mean}", { mean: number(mean) })),
          h("span", {}, t("positive 1")),
        ),
      ),
      strongest(t("Most positive"), sorted.slice(-5).reverse(), "ok"),
      strongest(t("Most negative"), sorted.slice(0, 5), "bad"),
    );
  }

  function withoutScores() {
    if (!isFinal(status.status))
      return empty(t("No scores yet"), t("They appear once the first part of the file is done."));
    return empty(t("No scores"), t("No row was loaded: the summary says what became of them."));
  }

  const strongest = (title, rows, tone) =>
    h(
      "section.card",
      {},
      h("h2", {}, title),
      h(
        "ol.texts",
        {},
        rows.map((row) =>
          h(
            "li",
            {},
            h(`b.num.${tone}-text`, {}, number(Number(row.score))),
            h(
              "span",
              {},
              String(row.text ?? ""),
              " ",
              h(
                "a.muted",
                { href: `${jobLink(status, "results")}?row=${row.row}` },
                t("row {number}", { number: count(row.row) }),
              ),
            ),
          ),
        ),
      ),
    );

  load();
  return {
    node,
    update(fresh) {
      const changed = fresh.rows.ok !== status.rows.ok || fresh.status !== status.status;
      status = fresh;
      if (changed) load();
    },
  };
}
