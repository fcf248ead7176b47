// A view of things that have a name and run by themselves: a form to add one, and a card for each
// with "now", "pause" and "delete". Schedules, watches and webhooks describe theirs.

import * as api from "./api.js";
import { announce, button, empty, h, iconButton, replace } from "./dom.js";
import { t } from "./messages.js";
import { facts, spinner } from "./parts.js";
import { fail, removeLater } from "./toast.js";

/** What a thing of the list shows.
 *  @typedef {{
 *    title: string,
 *    subtitle: any,
 *    run: {label: string, send: () => Promise<any>, isOff?: boolean},
 *    isOn: boolean,
 *    turn: {label: string, body: object},
 *    more?: any[],
 *    facts?: any[],
 *    below?: any,
 *  }} Shown */

/** Returns a view.
 *  @param {{
 *    title: string,
 *    path: string,
 *    add: {label: string, fields: any[], read: () => object, source?: () => string},
 *    none: [string, string],
 *    describe: (item: any, path: string, load: () => void) => Shown,
 *    oncreated?: (made: any) => void,
 *    onredraw?: () => void,
 *    place?: Element | null,
 *    dispose?: () => void,
 *  }} description `source` returns the source that the new thing reads, which is tried first. */
export function namedThings({
  title,
  path,
  add,
  none,
  describe,
  oncreated = () => {},
  onredraw = () => {},
  place = null,
  dispose = () => {},
}) {
  const list = h("div", {}, spinner());
  const doubt = h("div.doubt", { role: "alert", hidden: true });
  const form = /** @type {HTMLFormElement} */ (
    h(
      "form.card.form",
      { onsubmit: submit },
      add.fields,
      h("div.form-end", {}, button(add.label, null, { kind: "primary", type: "submit" })),
      doubt,
    )
  );
  // Another source is another question.
  form.addEventListener("input", () => (doubt.hidden = true));

  async function submit(event) {
    event.preventDefault();
    doubt.hidden = true;
    const problem = add.source ? await unusable(add.source()) : null;
    if (problem) ask(problem);
    else create();
  }

  /** Says why the source cannot be read now; it may exist later. */
  function ask(problem) {
    replace(
      doubt,
      h(
        "p",
        {},
        t("This source cannot be used now: {reason}", {
          reason: [problem.message, problem.remedy].filter(Boolean).join(" "),
        }),
      ),
      button(t("Save anyway"), () => ((doubt.hidden = true), create())),
    );
    doubt.hidden = false;
  }

  async function create() {
    try {
      const made = await api.post(path, add.read());
      form.reset();
      announce(t("Saved"));
      oncreated(made);
      load();
    } catch (error) {
      if (error instanceof SyntaxError)
        fail({ title: t("An option is not valid JSON"), message: error.message });
      else fail(error);
    }
  }

  const load = api.latest(
    () => api.get(path),
    ({ items }) => {
      onredraw();
      replace(list, items.length ? h("ul.cards", {}, items.map(card)) : empty(...none));
    },
    (error) =>
      replace(
        list,
        empty(
          error.title,
          [error.message, error.remedy].filter(Boolean).join(" "),
          button(t("Try again"), load),
        ),
      ),
  );

  function card(item) {
    const own = `${path}/${item.id}`;
    const shown = describe(item, own, load);
    const act = (send) => () => send().then(load, fail);
    return h(
      "li.card",
      { "aria-label": shown.title },
      h(
        "div.row.between",
        {},
        h(
          "div.clip",
          {},
          h("h2.clip", { title: shown.title }, shown.title),
          h("div.muted.clip", {}, shown.subtitle),
        ),
        h(
          "div.row",
          {},
          button(shown.run.label, () => shown.run.send().then(null, fail), {
            iconName: "play",
            disabled: shown.run.isOff,
          }),
          button(
            shown.turn.label,
            act(() => api.patch(own, shown.turn.body)),
            { iconName: shown.isOn ? "pause" : "play" },
          ),
          shown.more,
          iconButton("remove", t("Delete {name}", { name: shown.title }), (event) => {
            event.target.closest("li").hidden = true;
            removeLater(own, t("{name} is deleted", { name: shown.title }), { onundo: load });
          }),
        ),
      ),
      shown.facts && facts(shown.facts),
      shown.below,
    );
  }

  load();
  return {
    title,
    node: h("div.page", {}, h("div.page-head", {}, h("h1", {}, title)), form, place, list),
    dispose,
    load,
  };
}

/** Returns the Problem of a source that cannot be read now; null if it can, or if its address is
 *  wrong, which saving it reports. */
async function unusable(source) {
  if (!source) return null;
  try {
    await api.post(api.query("/api/v1/preview", { source, rows: 1 }), undefined);
  } catch (error) {
    return error.status === 422 ? null : error;
  }
  return null;
}

/** Returns the outcome of a last run in words. */
export function outcomeInWords(outcome, names) {
  if (!outcome) return t("not yet");
  const name = names[outcome.outcome] ?? outcome.outcome;
  return outcome.message ? `${name}: ${outcome.message}` : name;
}
