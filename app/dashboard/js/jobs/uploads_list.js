// Running, refused and interrupted uploads above the list of jobs. They survive a change of views.

import { announce, button, h, icon, iconButton, say } from "../dom.js";
import { bytes, duration, percent } from "../format.js";
import { t } from "../messages.js";
import { progressBar } from "../parts.js";
import { fail, toast } from "../toast.js";
import { REFUSED, uploads } from "./uploads_place.js";

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
  forget(file.name);
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
  const name = file.name;
  const row = refusedRow(
    { name, reason },
    button(t("Change settings"), () => (row.remove(), choose([file], options.settings)), {
      kind: "quiet",
      "aria-label": t("Change the settings of {name}", { name }),
    }),
    button(t("Try again"), () => (row.remove(), start(file, options, choose)), {
      kind: "quiet",
      iconName: "retry",
      "aria-label": t("Try {name} again", { name }),
    }),
  );
  row.dataset.hasFile = "yes"; // a visit to another view does not take the file away
  keep([...kept().filter((each) => each.name !== name), { name, reason }]);
  announce(`${name}: ${reason}`);
  return row;
}

function refusedRow({ name, reason }, ...buttons) {
  const row = h(
    "li.refused",
    { role: "listitem", "data-name": name },
    icon("warn"),
    h("b.clip.grow", {}, name),
    h("div.row.tight", {}, buttons),
    iconButton("close", t("Dismiss {name}", { name }), () => (forget(name), row.remove())),
    h("p.bad-text", {}, reason),
  );
  return row;
}

// Refused uploads are kept, as [{name, reason}], until they are dismissed or sent again.

function kept() {
  try {
    return JSON.parse(localStorage.getItem(REFUSED)) ?? [];
  } catch {
    return []; // forbidden, or not ours
  }
}

function keep(refusedUploads) {
  try {
    if (refusedUploads.length) localStorage.setItem(REFUSED, JSON.stringify(refusedUploads));
    else localStorage.removeItem(REFUSED);
  } catch {
    /* not stored: they hold for this visit */
  }
}

const forget = (name) => keep(kept().filter((each) => each.name !== name));

/** Draws the uploads that were interrupted or refused in this browser. `choose()` lets the user
 *  choose files: a page that is loaded again has them no more. */
export async function drawStopped(choose) {
  const { abandon, interrupted } = await import("../tus.js");
  for (const stopped of [...uploads.querySelectorAll("[data-name]:not([data-has-file])")])
    stopped.remove();
  const shown = [...uploads.querySelectorAll("[data-name]")].map((row) => row.dataset.name);
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
  for (const each of kept().filter(({ name }) => !shown.includes(name))) {
    const label = t("Choose {name} again", { name: each.name });
    const again = button(t("Choose the file again"), choose, {
      kind: "quiet",
      iconName: "upload",
      "aria-label": label,
    });
    uploads.append(refusedRow(each, again));
  }
}
