// The import sheet: a preview of each chosen file under its settings, what to do with it, and Start.
// The same sheet reads a stored upload again.

import * as api from "./api.js";
import { button, field, h, iconButton, replace, say, select, uid } from "./dom.js";
import { ago, bytes, plural } from "./format.js";
import { jobForm } from "./job_form.js";
import { previewOf } from "./preview.js";
import { t } from "./messages.js";
import { parameters } from "./settings.js";
import { fail, toast } from "./toast.js";

const HASHED_BYTES = 64 << 20;
/** The sheet that takes files, while it is open. */
let open = null;

/** Opens the sheet for these files, or adds them to the open one. `start(file, wanted)` uploads
 *  one; `wanted` is what jobForm returns, with `settings`. */
export function importFiles(files, start, settings = {}) {
  open ??= sheet(t("Import"), { confirm: (wanted, entries) => begin(entries, wanted, start) });
  open.add(files, settings);
}

/** Opens the sheet to paste a table as text. */
export function pasteTable(start) {
  const text = h("textarea", { rows: 8, "aria-label": t("Table"), spellcheck: "false" });
  const label = t("Copy cells in a spreadsheet, or lines of a file, and paste them here.");
  const dialog = h(
    "dialog.card.sheet.small",
    { "aria-label": t("Paste a table"), onclose: () => dialog.remove() },
    h("h2", {}, t("Paste a table")),
    h("div.editing", {}, field(t("Table"), text, label)),
    h(
      "div.row",
      {},
      button(
        t("Preview"),
        () => {
          if (!text.value.trim()) return text.focus();
          dialog.close();
          importFiles([pastedFile(text.value)], start);
        },
        { kind: "primary" },
      ),
      button(t("Cancel"), () => dialog.close()),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  text.focus();
}

/** Opens the sheet to read a file, or all files under a prefix, from where they are. */
export function importAddress() {
  const source = h("input", {
    required: true,
    maxlength: 1000,
    placeholder: "https://example.org/orders.csv",
    spellcheck: "false",
  });
  const form = jobForm("rows", 0, { isUpload: false });
  const startButton = button(t("Start"), null, {
    kind: "primary",
    iconName: "play",
    type: "submit",
  });
  const begin = async () => {
    const { type, options, labels, priority } = form.wanted();
    const body = { type, options, labels, priority: Number(priority), source: source.value.trim() };
    const started = await api.post("/api/v1/jobs", body);
    toast(t("The file is read"), { detail: t("This is its job.") });
    location.hash = `#/jobs/${started.job_id}`;
  };
  const dialog = h(
    "dialog.card.sheet",
    { "aria-label": t("Read from an address"), onclose: () => dialog.remove() },
    h(
      "form",
      { onsubmit: (event) => submit(event, dialog, startButton, begin) },
      h(
        "div.row.between",
        {},
        h("h2", {}, t("Read from an address")),
        iconButton("close", t("Close"), () => dialog.close()),
      ),
      field(
        t("Address"),
        source,
        t(
          "A web address, or a file of a bucket or folder that this service may read: https://, s3://, file://. One that ends in / reads every file under it.",
        ),
      ),
      h(
        "div.sheet-end",
        {},
        form.node,
        h(
          "div.row",
          {},
          startButton,
          button(t("Cancel"), () => dialog.close()),
        ),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  source.focus();
}

/** Runs `act` at Start; the sheet stays open if it fails. */
async function submit(event, dialog, startButton, act) {
  event.preventDefault();
  startButton.disabled = true;
  try {
    await act();
    dialog.close();
  } catch (error) {
    fail(error);
  } finally {
    startButton.disabled = false;
  }
}

export const pastedFile = (text) => new File([text], "pasted.csv", { type: "text/csv" });

/** Opens the sheet to read the upload of a job again. `settings` are proposed. */
export function readAgain(job, settings = {}) {
  const entry = { name: job.filename, fileId: job.file_id, settings: { ...settings } };
  const dialog = sheet(t("Read {name} again", { name: job.filename }), {
    processor: job.processor,
    priority: job.priority,
    labels: job.labels,
    confirm: async (wanted) => {
      const path = "/api/v1/read-again";
      const { processor, priority, option } = wanted;
      const label = wanted.labels.join(",");
      const made = await api.post(
        api.query(path, {
          file_id: job.file_id,
          processor,
          priority,
          label,
          ...option,
          ...parameters(entry.settings),
        }),
      );
      toast(t("The file is read again"), { detail: t("This is the new job.") });
      location.hash = `#/jobs/${made.job_id}`;
    },
  });
  dialog.show(entry);
}

function begin(entries, wanted, start) {
  for (const { file, settings } of entries)
    start(file, { ...wanted, settings: parameters(settings) });
}

/** The dialog. `confirm(wanted, entries)` runs at Start; the sheet stays open if it fails. */
function sheet(title, { processor = "rows", priority = 0, labels = [], confirm }) {
  const entries = [];
  let preview = null;
  const heading = uid("sheet");
  const chooser = h("div", { hidden: true });
  const same = h("p.note", { hidden: true, role: "status" });
  const place = h("div");
  const forAll = button(t("Use these settings for all files"), () => {
    const [chosen] = entries.filter((entry) => entry.isShown);
    for (const entry of entries) if (entry !== chosen) entry.settings = { ...chosen.settings };
    say(forAll, t("Used for all files"));
  });
  const form = jobForm(processor, priority, { labelsNow: labels });
  const startButton = button(t("Start"), null, {
    kind: "primary",
    iconName: "play",
    type: "submit",
  });
  const dialog = h(
    "dialog.card.sheet",
    { "aria-labelledby": heading },
    h(
      "form",
      {
        onsubmit: (event) =>
          submit(event, dialog, startButton, async () => confirm(form.wanted(), entries)),
      },
      h(
        "div.row.between",
        {},
        h("h2", { id: heading }, title),
        iconButton("close", t("Close"), () => dialog.close()),
      ),
      chooser,
      same,
      place,
      h(
        "div.sheet-end",
        {},
        form.node,
        h(
          "div.row",
          {},
          startButton,
          button(t("Cancel"), () => dialog.close()),
        ),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    preview?.dispose();
    dialog.remove();
    open = null;
  });
  document.body.append(dialog);
  dialog.showModal();
  startButton.focus();

  function show(entry) {
    for (const each of entries) each.isShown = each === entry;
    say(forAll, t("Use these settings for all files"));
    preview?.dispose();
    preview = previewOf(entry, entry.settings);
    replace(place, preview.node);
    same.hidden = true;
    if (entry.file)
      loadedBefore(entry.file).then((note) => {
        if (!note || !entry.isShown) return;
        same.hidden = false;
        replace(same, note);
      });
  }

  function add(files, settings = {}) {
    const first = entries.length;
    for (const file of files) entries.push({ file, name: file.name, settings: { ...settings } });
    const names = entries.map(({ name, file }, index) => [index, `${name} (${bytes(file.size)})`]);
    chooser.hidden = entries.length < 2;
    replace(
      chooser,
      h(
        "div.row",
        {},
        field(
          plural(entries.length, "file"),
          select(names, first, { onchange: (event) => show(entries[event.target.value]) }),
        ),
        h("div.form-end", {}, forAll),
      ),
    );
    show(entries[first]);
  }
  return { add, show };
}

/** Returns a note with a link if a file of the same name and size was loaded before. */
async function loadedBefore(file) {
  const list = await api
    .get(api.query("/api/v1/jobs", { search: file.name.slice(0, 100), limit: 50, parts: false }))
    .catch(() => ({ items: [] }));
  const job = list.items.find(
    (each) => each.filename === file.name && each.size_bytes === file.size,
  );
  if (!job) return null;
  const sha256 = await hashOf(file);
  if (sha256 !== null) {
    const status = await api.get(`/api/v1/jobs/${job.job_id}`).catch(() => null);
    if (status?.sha256 !== sha256) return null;
  }
  const when = ago(job.created_at);
  return [
    sha256 === null
      ? t("A file of the same name and size was loaded {when}. ", { when })
      : t("The same file was loaded {when}. ", { when }),
    h("a", { href: `#/jobs/${job.job_id}` }, t("Open it")),
    t(", or start to load it again."),
  ];
}

/** SHA-256 in hexadecimal; null for a large file, or where the browser cannot tell. */
async function hashOf(file) {
  if (!globalThis.crypto?.subtle || file.size > HASHED_BYTES) return null;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
