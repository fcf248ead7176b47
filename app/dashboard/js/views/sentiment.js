// Charts of the sentiment: labels of all rows, scores of the first ones, and the strongest texts
// among them.

import * as api from "../api.js";
import { empty, h, replace } from "../dom.js";
import { count, number } from "../format.js";
import { bars, spinner, stack } from "../parts.js";

const SAMPLE = 2000;
const BARS = 21;

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
      .map((item) => item.data)
      .filter((row) => Number.isFinite(Number(row.score)));
    if (!rows.length)
      return replace(node, empty("No scores yet", "They appear with the first finished chunk."));
    const counts =
      status.summary ??
      Object.fromEntries(
        ["positive", "neutral", "negative"].map((name) => [
          name,
          rows.filter((row) => row.sentiment === name).length,
        ]),
      );
    const whole = status.summary ? "all rows" : `the first ${count(rows.length)} rows`;
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
        h("h2", {}, `Labels of ${whole}`),
        stack(
          [
            { name: "positive", value: counts.positive ?? 0, tone: "ok" },
            { name: "neutral", value: counts.neutral ?? 0, tone: "idle" },
            { name: "negative", value: counts.negative ?? 0, tone: "bad" },
          ],
          { label: "Rows by sentiment", text: (part) => count(part.value) },
        ),
      ),
      h(
        "section.card.wide",
        {},
        h("h2", {}, `Scores of the first ${count(rows.length)} rows`),
        bars(
          sums.map((value, i) => {
            const middle = (i / (BARS - 1)) * 2 - 1;
            return {
              value,
              tone: middle >= 0.05 ? "ok" : middle <= -0.05 ? "bad" : "idle",
              label: `around ${number(middle)}: ${count(value)} rows`,
            };
          }),
          { label: `Scores from -1 to 1; the mean is ${number(mean)}` },
        ),
        h(
          "div.axis",
          {},
          h("span", {}, "−1 negative"),
          h("span", {}, `mean ${number(mean)}`),
          h("span", {}, "positive 1"),
        ),
      ),
      strongest("Most positive", sorted.slice(-5).reverse(), "ok"),
      strongest("Most negative", sorted.slice(0, 5), "bad"),
    );
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
            h("span", {}, String(row.text ?? "")),
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
