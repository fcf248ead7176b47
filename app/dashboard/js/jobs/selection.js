// The chosen jobs. The bar with what can be done with them is loaded with the first choice.

import { h, replace } from "../dom.js";
import { fail } from "../toast.js";

/** The chosen jobs as {node, ids, toggle(item, event), toggleShown(), isSelected(id), clear(),
 *  draw()}. `list` is {items(), hasAll(), where(), relabel(id, labels), hide(items, later),
 *  reload(), redraw()}. */
export function selection(list) {
  const ids = new Set();
  const place = h("div.bulk-place");
  let isAllMatching = false;
  let last = null;
  let bar = null;

  function draw() {
    place.hidden = !ids.size;
    if (bar || !ids.size) return bar?.draw();
    bar = { draw() {} };
    import("./bulk.js").then(
      ({ bulkBar }) => {
        bar = bulkBar(list, {
          ids,
          clear,
          isAllMatching: () => isAllMatching,
          chooseMatching() {
            isAllMatching = true;
            changed();
          },
        });
        replace(place, bar.node);
        bar.draw();
      },
      (error) => ((bar = null), fail(error)),
    );
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

  function clear() {
    ids.clear();
    isAllMatching = false;
    changed();
  }

  return {
    node: place,
    ids,
    toggle,
    toggleShown,
    clear,
    draw,
    isSelected: (id) => isAllMatching || ids.has(id),
  };
}
