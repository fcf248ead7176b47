// A button that opens a list of links and buttons.

import { h } from "./dom.js";

/** Returns a menu. `items` are links and buttons; one closes the menu when it is used. */
export function menu(label, items, props = {}) {
  const list = h(
    "ul.menu-list",
    {},
    items.filter(Boolean).map((item) => h("li", {}, item)),
  );
  const summary = h("summary.button", {}, label);
  const node = h("details.menu", props, summary, list);
  const controls = () => [...list.querySelectorAll("a, button")];
  const close = (isKeyed) => {
    node.open = false;
    if (isKeyed) summary.focus();
  };
  const outside = (event) => {
    if (!node.contains(event.target)) close(false);
  };
  node.addEventListener("toggle", () => {
    if (node.open) document.addEventListener("pointerdown", outside);
    else document.removeEventListener("pointerdown", outside);
  });
  node.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !node.contains(relatedTarget)) close(false);
  });
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && node.open) {
      event.preventDefault();
      close(true);
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    node.open = true;
    const all = controls();
    const place = all.indexOf(document.activeElement);
    const next = place < 0 && step < 0 ? all.length - 1 : place + step;
    all[(next + all.length) % all.length]?.focus();
  });
  list.addEventListener("click", (event) => {
    if (event.target.closest("a, button")) close(false);
  });
  return node;
}
