// Chosen jobs, and what is done with all of them at once.

import * as api from "../api.js";
import { announce, button, h, replace, say, select } from "../dom.js";
import { count, plural } from "../format.js";
import { t } from "../messages.js";
import { fail, runLater, toast } from "../toast.js";

const BULK = "/api/v1/jobs/bulk";
/** Jobs of one request, which takes a few seconds then. */
const STEP = 100;
const MOST_REASONS = 3;

/** The chosen jobs as {node, ids, toggle(item, event), toggleShown(), isSelected(id), clear(),
 *  draw()}. `list` is {items(), hasAll(), where(), relabel(id, labels), hide(items), restore(items),
 *  reload(), redraw()}. */
export function selection(list) {
  const ids = new Set();
  let isAllMatching = false;
  let last = null;
  const told = h("b", { role: "status" });
  const everything = button("", chooseMatching, { kind: "link" });
  const priority = select(
    [["", t("Priority …")], ...Array.from({ length: 11 }, (_, i) => [i, i])],
    "",
    { "aria-label": t("Priority of the selected jobs") },
  );
  const label = h("input", {
    maxlength: 40,
    placeholder: t("Label"),
    "aria-label": t("Label for the selected jobs"),
  });
  const bar = h(
    "div.bulk",
    { role: "region", "aria-label": t("Selected jobs"), hidden: true },
    told,
    everything,
    h(
      "form.row.tight",
      {
        onsubmit: (event) => {
          event.preventDefault();
          relabel("add_labels");
        },
      },
      label,
      button(t("Add"), null, { type: "submit", "aria-label": t("Add the label") }),
      button(t("Remove"), () => relabel("remove_labels"), { "aria-label": t("Remove the label") }),
    ),
    priority,
    button(t("Cancel jobs"), () => act("cancel"), { iconName: "cancel" }),
    button(t("Retry"), () => act("retry"), { iconName: "retry" }),
    button(t("Delete"), remove, { iconName: "remove" }),
    button(t("Clear selection"), clear, { kind: "link" }),
  );
  priority.addEventListener("change", () => {
    const value = Number(priority.value);
    priority.value = "";
    act("priority", { priority: value });
  });

  const chosen = () => list.items().filter((item) => ids.has(item.job_id));

  function draw() {
    bar.hidden = !ids.size;
    if (!ids.size) return;
    const canChooseMatching =
      !isAllMatching && !list.hasAll() && ids.size >= list.items().length && list.where() !== null;
    say(
      told,
      isAllMatching
        ? t("All jobs that match are selected")
        : plural(ids.size, "job selected", "jobs selected"),
    );
    everything.hidden = !canChooseMatching;
    if (canChooseMatching) replace(everything, t("Select all jobs that match"));
  }

  function changed() {
    draw();
    list.redraw();
  }

  function toggle(item, event) {
    const items = list.items();
    const at = items.findIndex((each) => each.job_id === item.job_id);
    const from = items.findIndex((each) => each.job_id === last);
    const isOn = !ids.has(item.job_id);
    const range =
      event?.shiftKey && from >= 0 ? [Math.min(at, from), Math.max(at, from)] : [at, at];
    for (const each of items.slice(range[0], range[1] + 1))
      if (isOn) ids.add(each.job_id);
      else ids.delete(each.job_id);
    last = item.job_id;
    isAllMatching = false;
    changed();
  }

  /** Selects all rows that are loaded, or none. */
  function toggleShown() {
    const items = list.items();
    const isOn = items.some((item) => !ids.has(item.job_id));
    ids.clear();
    if (isOn) for (const item of items) ids.add(item.job_id);
    isAllMatching = false;
    changed();
  }

  function chooseMatching() {
    isAllMatching = true;
    changed();
  }

  function clear() {
    ids.clear();
    isAllMatching = false;
    changed();
  }

  /** Does an action with all chosen jobs; returns the outcome of each. */
  async function run(action, values, { keepalive = false, jobs = [...ids] } = {}) {
    const outcomes = [];
    if (isAllMatching) {
      const body = { action, where: list.where(), limit: STEP, ...values };
      let before = null;
      do {
        const answer = await api.post(BULK, before === null ? body : { ...body, before });
        outcomes.push(...answer.items);
        before = answer.next_before;
        say(told, t("{count} jobs so far …", { count: count(outcomes.length) }));
      } while (before !== null);
      return outcomes;
    }
    const bodies = [];
    for (let at = 0; at < jobs.length; at += STEP)
      bodies.push({ action, jobs: jobs.slice(at, at + STEP), ...values });
    const send = (body) => api.post(BULK, body, { keepalive });
    if (keepalive) {
      // the page is being left: nothing runs after this
      const answers = await Promise.all(bodies.map(send));
      return answers.flatMap((answer) => answer.items);
    }
    for (const body of bodies) outcomes.push(...(await send(body)).items);
    return outcomes;
  }

  async function act(action, values = {}) {
    bar.inert = true;
    try {
      const wasAll = isAllMatching;
      const outcomes = await run(action, values);
      report(outcomes);
      if (action === "label" && !wasAll) showLabels(values);
      clear();
      if (wasAll) list.reload();
    } catch (error) {
      fail(error);
    } finally {
      bar.inert = false;
    }
  }

  function showLabels({ add_labels: added = [], remove_labels: removed = [] }) {
    for (const item of chosen()) {
      const kept = item.labels.filter((each) => !removed.includes(each));
      list.relabel(item.job_id, [...new Set([...kept, ...added])].sort());
    }
  }

  function relabel(what) {
    const name = label.value.trim();
    if (!name) return label.focus();
    act("label", { [what]: [name] });
  }

  function remove() {
    if (isAllMatching) return confirmDeletion();
    const items = chosen();
    const jobs = items.map((item) => item.job_id);
    list.hide(items, (paths, restore) =>
      runLater(
        paths,
        (keepalive) => run("delete", {}, { keepalive, jobs }),
        plural(items.length, "job is deleted", "jobs are deleted"),
        { onundo: restore, ondone: report },
      ),
    );
    clear();
  }

  /** More jobs than the page shows are deleted at once: this cannot be undone. */
  async function confirmDeletion() {
    let dry;
    try {
      dry = await api.post(BULK, { action: "delete", where: list.where(), dry_run: true });
    } catch (error) {
      return fail(error);
    }
    const dialog = h(
      "dialog.card.sheet.small",
      { "aria-label": t("Delete jobs"), onclose: () => dialog.remove() },
      h("h2", {}, t("Delete {count} jobs?", { count: count(dry.matched) })),
      h("p", {}, t("Their files, results and rejects are deleted, too. There is no undo.")),
      h(
        "div.row",
        {},
        button(t("Delete {count} jobs", { count: count(dry.matched) }), () => {
          dialog.close();
          act("delete");
        }),
        button(t("Cancel"), () => dialog.close(), { kind: "primary" }),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  /** Says how many jobs were changed, and why others were not. */
  function report(outcomes) {
    const refused = outcomes.filter((each) => each.outcome === "refused");
    const done = outcomes.length - refused.length;
    const text = plural(done, "job done", "jobs done");
    if (!refused.length) return announce(text);
    const reasons = refused
      .slice(0, MOST_REASONS)
      .map((each) => `#${each.number ?? ""} ${each.detail}`)
      .join(" ");
    toast(`${text}, ${plural(refused.length, "job left as it was", "jobs left as they were")}`, {
      tone: "warn",
      detail: reasons,
      ms: 12000,
    });
  }

  return {
    node: bar,
    ids,
    toggle,
    toggleShown,
    clear,
    draw,
    isSelected: (id) => isAllMatching || ids.has(id),
  };
}
