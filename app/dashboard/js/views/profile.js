// The profile of the file, column by column.

import * as api from "../api.js";
import { button, empty, h, replace } from "../dom.js";
import { count, isFinal, number, percent, plural } from "../format.js";
import { t } from "../messages.js";
import { bars, facts, progressBar, spinner } from "../parts.js";
import { fail } from "../toast.js";

const POLL_MS = 500;

export default function profile({ id, status }) {
  const node = h("div", {}, spinner());
  let timer = null;
  let isGone = false;

  async function start() {
    if (status.processor === "profile") return follow(id);
    const { items } = await api.get(
      api.query("/api/v1/jobs", { processor: "profile", limit: 200 }),
    );
    const found = items.find(
      (each) =>
        each.file_id === status.file_id && each.status !== "failed" && each.status !== "cancelled",
    );
    if (found) return follow(found.job_id);
    return replace(
      node,
      empty(
        t("Not analysed yet"),
        t(
          "An analysis reads the stored file again and shows types, distributions, frequent values and personal data of each column.",
        ),
        button(
          t("Analyse this file"),
          async () => {
            try {
              follow((await api.post("/api/v1/jobs/analyze", { file_id: status.file_id })).job_id);
            } catch (error) {
              fail(error);
            }
          },
          { kind: "primary" },
        ),
      ),
    );
  }

  async function follow(jobId) {
    const bar = progressBar(t("Progress of the analysis"));
    const stage = h("p.muted", { role: "status" }, t("Waiting in the queue …"));
    replace(node, h("section.card", {}, h("h2", {}, t("Analysing")), bar, stage));
    for (;;) {
      const now = await api.get(`/api/v1/jobs/${jobId}/status`);
      if (isGone) return;
      bar.show(now.progress);
      stage.textContent = `${now.progress} % · ${now.stage.replaceAll("_", " ")}`;
      if (!now.is_active) break;
      await new Promise((resolve) => (timer = setTimeout(resolve, POLL_MS)));
      if (isGone) return;
    }
    const { result } = await api.get(`/api/v1/jobs/${jobId}/result`);
    if (!isGone) draw(result);
  }

  function draw({ rows, columns, columns_left_out: left }) {
    const search = h("input", {
      type: "search",
      placeholder: t("Find a column"),
      "aria-label": t("Find a column"),
    });
    const cards = columns.map(card);
    search.addEventListener("input", () =>
      cards.forEach(
        (each, i) =>
          (each.hidden = !columns[i].name.toLowerCase().includes(search.value.toLowerCase())),
      ),
    );
    const more = left ? t(", {count} more left out", { count: count(left) }) : "";
    const rejected = rows.rejected ? t("; {count} rejected", { count: count(rows.rejected) }) : "";
    const analysed = t("{rows} analysed", { rows: plural(rows.profiled, "row") });
    replace(
      node,
      h(
        "div.row.between",
        {},
        h("p.muted", {}, `${analysed}, ${plural(columns.length, "column")}${more}${rejected}`),
        columns.length > 6 && search,
      ),
      h("div.columns", {}, cards),
    );
  }

  start().catch((error) => {
    if (!isGone)
      replace(
        node,
        empty(
          error.title ?? t("The analysis cannot be loaded"),
          `${error.message} ${error.remedy ?? ""}`,
        ),
      );
  });
  return {
    node,
    update(fresh) {
      const ended = isFinal(fresh.status) && !isFinal(status.status);
      status = fresh;
      if (ended && status.processor === "profile") start().catch(fail);
    },
    dispose() {
      isGone = true;
      clearTimeout(timer);
    },
  };
}

/** A value, with its full length if it is truncated. */
function value(text, length) {
  const shown = length
    ? t("{value}… ({count} characters)", { value: text, count: count(length) })
    : text;
  return h("span.clip", { title: shown }, shown === "" ? t("(empty)") : shown);
}

function card(column) {
  const cut = (member) => column.truncated?.find((each) => each.member === member)?.length;
  const values = column.count + column.empty + column.nulls;
  return h(
    "section.card",
    {},
    h(
      "div.row.between",
      {},
      h("h3.clip", { title: column.name }, column.name || t("(no name)")),
      h("span.pill", {}, column.subtype ?? column.type, column.format ? ` ${column.format}` : ""),
    ),
    column.personal_data.length > 0 &&
      h(
        "p.note",
        {},
        t("Likely personal data: {kinds}", { kinds: column.personal_data.join(", ") }),
      ),
    column.explanation && column.type === "text" && h("p.muted", {}, column.explanation),
    picture(column),
    facts([
      [
        t("Filled"),
        `${count(column.count)}${values ? ` (${percent(column.count / values)})` : ""}`,
      ],
      [
        t("Distinct"),
        column.distinct_is_exact
          ? count(column.distinct)
          : t("about {count}", { count: count(column.distinct) }),
      ],
      column.mean !== null && [t("Mean"), number(column.mean)],
      column.quantiles && [t("Median"), number(column.quantiles["0.5"])],
      column.min !== null && [t("From"), value(column.min, cut("min"))],
      column.max !== null && [t("To"), value(column.max, cut("max"))],
    ]),
  );
}

function picture(column) {
  if (column.histogram) {
    const { edges, shares } = column.histogram;
    return h(
      "div",
      {},
      bars(
        shares.map((share, i) => ({
          value: share,
          label: t("{from} to {to}: {share}", {
            from: number(edges[i]),
            to: number(edges[i + 1]),
            share: percent(share),
          }),
        })),
        {
          label: t("Distribution of {name} from {first} to {last}", {
            name: column.name,
            first: number(edges[0]),
            last: number(edges.at(-1)),
          }),
          height: 56,
        },
      ),
      h("div.axis", {}, h("span", {}, number(edges[0])), h("span", {}, number(edges.at(-1)))),
    );
  }
  const top = column.top.slice(0, 6);
  if (!top.length) return h("p.muted", {}, t("No value stands out."));
  const most = top[0].count || 1;
  return h(
    "ol.top-values",
    { "aria-label": t("Frequent values of {name}", { name: column.name }) },
    top.map((each) =>
      h(
        "li",
        {},
        value(each.value, each.length),
        h("i", { "aria-hidden": "true", style: { width: `${(100 * each.count) / most}%` } }),
        h("b.num", {}, count(each.count)),
      ),
    ),
  );
}
