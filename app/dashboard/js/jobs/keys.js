// Keys of the list of jobs.

import { button, h } from "../dom.js";
import { t } from "../messages.js";

const KEYS = [
  ["j, ↓", t("next job")],
  ["k, ↑", t("previous job")],
  ["x", t("select the job; with Shift, all up to it")],
  ["Enter", t("open the job")],
  ["/", t("search")],
  ["Escape", t("clear the selection")],
  ["?", t("show these keys")],
];

/** Listens to keys outside of fields; returns a function that stops this. `does` are {step(by),
 *  isInside(), toggle(event), search(), clear()}; false means that there was nothing to do. */
export function listKeys(does) {
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("select, textarea, dialog, [contenteditable]")) return;
    if (event.target.matches?.("input:not([type=checkbox])")) return;
    const act = {
      j: () => does.step(1),
      ArrowDown: () => does.isInside() && does.step(1),
      k: () => does.step(-1),
      ArrowUp: () => does.isInside() && does.step(-1),
      x: () => does.toggle(event),
      X: () => does.toggle(event),
      "/": () => does.search(),
      Escape: () => does.clear(),
      "?": showKeys,
    }[event.key];
    if (!act || act() === false) return;
    event.preventDefault();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}

export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const dialog = h(
    "dialog.card.sheet.small",
    { "aria-label": t("Keys"), onclose: () => dialog.remove() },
    h("h2", {}, t("Keys")),
    h(
      "dl.keys",
      {},
      KEYS.map(([key, does]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, does))),
    ),
    button(t("Close"), () => dialog.close(), { kind: "primary" }),
  );
  document.body.append(dialog);
  dialog.showModal();
}
