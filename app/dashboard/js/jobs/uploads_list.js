// Running, refused and interrupted uploads above the list of jobs. They survive a change of views.

import { announce, button, h, icon, iconButton, say } from "../dom.js";
import { bytes, duration, percent } from "../format.js";
import { t } from "../messages.js";
import { progressBar } from "../parts.js";
import { fail, toast } from "../toast.js";
import { forget, keep, kept } from "./refused.js";
import { uploads } from "./uploads_place.js";

/** Sends a file and shows its progress. `choose(files, settings)` opens the import sheet. What
 *  sends is loaded with the first file. */
export function start(file, options, choose) {
  let upload = null;
  let isStopped = false;
  const bar = progressBar(t("Upload of {name}", { name: file.name }));
  const text = h("span.muted.num");
  const stop = iconButton("cancel", t("Stop the upload of {name}", { name: file.name }), () => {
    isStopped = true;
    if (upload) upload.cancel();
    else row.remove();
  });
  const row = h("li", {}, icon("file"), h("span.clip.grow", {}, file.name), text, bar, stop);
  for (const stopped of [...uploads.querySelectorAll("[data-name]")])
    if (stopped.dataset.name === file.name) stopped.remove();
  uploads.append(row);
  const show = (each) => {
    bar.show(each.share * 100);
    if (each.state === "sending") say(text, sending(each, file));
    else if (each.state === "waiting") say(text, waiting(each));
    else if (each.state === "locked") say(text, t("Continues after you sign in"));
    else if (each.state === "failed") row.replaceWith(refused(file, options, each.error, choose));
    else row.remove();
    if (each.state === "done") {
      announce(t("{name} is uploaded", { name: file.name }));
      if (each.answer.duplicate)
        toast(t("This file was already uploaded"), { detail: t("Its job is in the list.") });
    }
  };
  import("../upload.js").then(
    ({ Upload }) => {
      if (!isStopped) upload = new Upload(file, options, show);
    },
    (error) => (row.remove(), fail(error)),
  );
}

function sending(upload, file) {
  if (upload.share >= 1) return t("Finishing …");
  return t("{share} of {size} · {speed}/s · {rest} left", {
    share: percent(upload.share),
    size: bytes(file.size),
    speed: bytes(upload.speed),
    rest: duration(upload.rest),
  });
}

function waiting(upload) {
  if (!upload.sent) return t("Connection lost; trying again …");
  return t("Connection lost at {share}; resuming …", { share: percent(upload.share) });
}

/** A row for a failed upload with its reason, until it is dismissed. */
function refused(file, options, { title, message, remedy }, choose) {
  const reason = [title === message.replace(/\.$/, "") ? "" : `${title}.`, message, remedy]
    .filter(Boolean)
    .join(" ");
  const id = keep({ name: file.name, reason, settings: options.settings });
  const row = refusedRow({ id, name: file.name, reason }, [
    changeSettings(file.name, () => (row.dismiss(), choose([file], options.settings))),
    tryAgain(file.name, () => (row.dismiss(), start(file, options, choose))),
  ]);
  announce(`${file.name}: ${reason}`);
  return row;
}

/** A row for an upload that was refused before the page was reloaded: its file is chosen again. */
function refusedEarlier(each, choose) {
  const input = h("input.hidden", {
    type: "file",
    tabindex: -1,
    "aria-label": t("Choose {name} again", { name: each.name }),
    onchange: () => {
      const files = [...input.files];
      if (!files.length) return;
      row.dismiss();
      choose(files, each.settings);
    },
  });
  const row = refusedRow(each, [tryAgain(each.name, () => input.click()), input]);
  return row;
}

const changeSettings = (name, onclick) =>
  button(t("Change settings"), onclick, {
    kind: "quiet",
    "aria-label": t("Change the settings of {name}", { name }),
  });

const tryAgain = (name, onclick) =>
  button(t("Try again"), onclick, {
    kind: "quiet",
    iconName: "retry",
    "aria-label": t("Try {name} again", { name }),
  });

function refusedRow({ id, name, reason }, actions) {
  const row = h(
    "li.refused",
    { role: "listitem", "data-refused": id },
    icon("warn"),
    h("b.clip.grow", {}, name),
    h("div.row.tight", {}, actions),
    iconButton("close", t("Dismiss {name}", { name }), () => row.dismiss()),
    h("p.bad-text", {}, reason),
  );
  row.dismiss = () => (forget(id), row.remove());
  return row;
}

/** Draws the uploads that were refused before the page was reloaded. */
export function drawRefused(choose) {
  const drawn = new Set(
    [...uploads.querySelectorAll("[data-refused]")].map((row) => row.dataset.refused),
  );
  for (const each of kept()) if (!drawn.has(each.id)) uploads.append(refusedEarlier(each, choose));
}

/** Draws the uploads that were interrupted in this browser. */
export async function drawInterrupted() {
  const { abandon, interrupted } = await import("../tus.js");
  for (const stopped of [...uploads.querySelectorAll("[data-name]")]) stopped.remove();
  for (const each of interrupted()) {
    const row = h(
      "li",
      { "data-name": each.name },
      icon("pause"),
      h("span.clip.grow", {}, each.name),
      h(
        "span.muted",
        {},
        t("Stopped at {share}: choose the file again to resume", { share: percent(each.share) }),
      ),
      iconButton(
        "close",
        t("Forget the upload of {name}", { name: each.name }),
        () => (abandon(each), row.remove()),
      ),
    );
    uploads.append(row);
  }
}
