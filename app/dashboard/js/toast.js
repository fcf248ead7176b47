// Messages at the edge of the page, and deletions that can be undone while their message is shown.

import { announce, button, h, iconButton } from "./dom.js";
import { remove } from "./api.js";
import { t } from "./messages.js";

const UNDO_MS = 6000;
const pending = new Map();
/** By text and detail of each message that is shown: how to close it. */
const shown = new Map();

/** Shows a message for `ms` milliseconds. The same message is shown once: the newer one stays.
 *  One with an action stays, too, since each acts on something else. */
export function toast(text, { tone = "plain", detail = "", action = null, ms = 6000 } = {}) {
  const key = JSON.stringify([text, detail]);
  if (!action) shown.get(key)?.();
  const node = h(
    `div.toast.${tone}`,
    {},
    h("div.grow", {}, h("strong", {}, text), detail && h("p", {}, detail)),
  );
  const close = () => {
    clearTimeout(timer);
    node.remove();
    if (shown.get(key) === close) shown.delete(key);
  };
  if (!action) shown.set(key, close);
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
export const removeLater = (path, text, options) =>
  runLater([path], (keepalive) => remove(path, { keepalive }), text, options);

/** Runs `act(keepalive)` after the message has disappeared or when the page is left, unless "Undo"
 *  is pressed. Until then `isPending` holds for each of the paths. */
export function runLater(paths, act, text, { onundo, ondone = () => {} }) {
  const forget = () => paths.filter((path) => pending.delete(path)).length > 0;
  const commit = (keepalive) => {
    if (!forget()) return;
    clearTimeout(timer);
    act(keepalive).then(ondone, (error) => (onundo(), fail(error)));
  };
  const timer = setTimeout(() => commit(false), UNDO_MS);
  for (const path of paths) pending.set(path, commit);
  toast(text, {
    ms: UNDO_MS,
    action: { label: t("Undo"), run: () => (clearTimeout(timer), forget(), onundo()) },
  });
}

export const isPending = (path) => pending.has(path);
addEventListener("pagehide", () => new Set(pending.values()).forEach((commit) => commit(true)));
