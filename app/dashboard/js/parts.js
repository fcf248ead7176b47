// Components that several views share.

import { announce, button, h, icon, say, svg } from "./dom.js";
import { NAMES, TONES, percent } from "./format.js";
import { t } from "./messages.js";

const TONE_ICONS = { ok: "check", warn: "warn", bad: "cancel" };

export function badge(status) {
  const node = h("span.badge");
  node.show = (status) => {
    if (node.dataset.status === status) return;
    node.dataset.status = status;
    node.className = `badge ${TONES[status] ?? "idle"}`;
    const name = TONE_ICONS[TONES[status]];
    node.replaceChildren(
      name ? icon(name) : h("i.dot", { "aria-hidden": "true" }),
      NAMES[status] ?? status,
    );
  };
  node.show(status);
  return node;
}

export function progressBar(label) {
  const fill = h("div.fill");
  const node = h(
    "div.bar",
    { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    fill,
  );
  node.show = (value, tone = "busy") => {
    node.setAttribute("aria-valuenow", Math.round(value));
    node.className = `bar ${tone}`;
    fill.style.transform = `scaleX(${value / 100})`;
  };
  return node;
}

/** A stacked bar of parts [{name, value, tone}], with a legend. */
export function stack(parts, { label, total = null, text = null }) {
  const whole = total ?? parts.reduce((sum, part) => sum + part.value, 0);
  const share = (part) => part.value / (whole || 1);
  return h(
    "figure.stack",
    { "aria-label": label },
    h(
      "div.stack-bar",
      { "aria-hidden": "true" },
      parts
        .filter((p) => p.value > 0)
        .map((part) => h(`i.${part.tone}`, { style: { "flex-grow": share(part) } })),
    ),
    h(
      "ul.legend",
      {},
      parts.map((part) =>
        h(
          "li",
          {},
          h(`i.swatch.${part.tone}`, { "aria-hidden": "true" }),
          h("span", {}, part.name),
          h("b", {}, text ? text(part) : percent(share(part))),
        ),
      ),
    ),
  );
}

/** Vertical bars: [{value, label, tone}]. */
export function bars(values, { label, height = 96, kind = "" }) {
  const most = Math.max(...values.map((v) => v.value), 1e-12);
  const width = 100 / values.length;
  return svg(
    `svg.bars${kind}`,
    { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.map((each, i) =>
      svg(
        `rect.${each.tone ?? "accent"}`,
        {
          x: i * width + width * 0.06,
          width: width * 0.88,
          y: height - Math.max(each.value ? 1 : 0, (each.value / most) * height),
          height: Math.max(each.value ? 1 : 0, (each.value / most) * height),
        },
        svg("title", {}, each.label),
      ),
    ),
  );
}

export function facts(pairs) {
  return h(
    "dl.facts",
    {},
    pairs
      .filter(Boolean)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

export function stat(name) {
  const value = h("b");
  const node = h("div.stat", {}, h("span", {}, name), value);
  node.show = (text, tone = "") => {
    say(value, text);
    value.className = tone;
  };
  return node;
}

/** Shows a secret that the service returns only once. */
export function shownOnce(title, value, hint) {
  const text = h("input.secret", {
    value,
    readonly: true,
    "aria-label": title,
    spellcheck: "false",
    onfocus: () => text.select(),
  });
  const copy = button(t("Copy"), async () => {
    text.select();
    try {
      await navigator.clipboard.writeText(value);
      announce(t("Copied"));
    } catch {
      /* not allowed: the text is selected, to be copied by hand */
    }
  });
  return h(
    "section.card.shown-once",
    {},
    h("h2", {}, icon("lock"), title),
    h("p.muted", {}, hint),
    h("div.row", {}, text, copy),
  );
}

export const spinner = (text = t("Loading …")) => h("p.muted.pad", { role: "status" }, text);

/** A table of texts or nodes with a caption for screen readers. */
export function grid(caption, heads, rows) {
  return h(
    "div.scroll",
    { tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption.hidden", {}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head) => h("th", { scope: "col" }, head)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell) => h("td", {}, cell ?? h("span.muted", {}, "NULL"))),
          ),
        ),
      ),
    ),
  );
}
