// Messages at the edge of the page, and deletions that can be undone while their message is shown.

import { announce, button, h, iconButton } from "./dom.js";
import { remove } from "./api.js";
import { t } from "./messages.js";

const UNDO_MS = 6000;
const pending = new Map();

export function toast(text, { tone = "plain", detail = "", action = null, ms = 6000 } = {}) {
  const node = h(
    `div.toast.${tone}`,
    {},
    h("div.grow", {}, h("strong", {}, text), detail && h("p", {}, detail)),
  );
  const close = () => {
    clearTimeout(timer);
    node.remove();
  };
  if (action) node.append(button(action.label, () => (close(), action.run()), { kind: "quiet" }));
  node.append(iconButton("close", t("Close this message"), close));
  document.getElementById("toasts").append(node);
  announce(detail ? `${text}. ${detail}` : text);
  const timer = setTimeout(close, ms);
  return close;
}

/** Shows an error and its remedy. */
export function fail(error) {
  // the page already asks for a key
  if (error.name === "AbortError" || error.status === 401) return;
  if (!error.title) console.error(error);
  toast(error.title ?? t("Something went wrong"), {
    tone: "bad",
    detail: [error.message, error.remedy].filter(Boolean).join(" "),
    ms: 12000,
  });
}

/** Deletes after the message has disappeared, unless "Undo" is pressed. `onundo` shows the item
 *  again. */
export function removeLater(path, text, { onundo, ondone = () => {} }) {
  const commit = (keepalive) => {
    if (!pending.delete(path)) return;
    clearTimeout(timer);
    remove(path, { keepalive }).then(ondone, (error) => (onundo(), fail(error)));
  };
  const timer = setTimeout(() => commit(false), UNDO_MS);
  pending.set(path, commit);
  toast(text, {
    ms: UNDO_MS,
    action: { label: t("Undo"), run: () => (clearTimeout(timer), pending.delete(path), onundo()) },
  });
}

export const isPending = (path) => pending.has(path);
addEventListener("pagehide", () => [...pending.values()].forEach((commit) => commit(true)));
