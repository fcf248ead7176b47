// The corrections of an earlier file, offered for the same rejects of this one.

import * as api from "./api.js";
import { beforeAndAfter } from "./bulk_fix.js";
import { button, h, replace } from "./dom.js";
import { count, plural } from "./format.js";
import { t } from "./messages.js";
import { fail } from "./toast.js";

/** Shows in `place` what earlier jobs offer. `follow(answer)`: a correction was accepted. */
export async function offerEarlier({ id, place, follow }) {
  const path = `/api/v1/files/${encodeURIComponent(id)}/corrections/earlier`;
  const { items } = await api.get(path).catch(() => ({ items: [] }));
  place.hidden = !items.length;
  replace(
    place,
    items.length > 0 && h("span", {}, t("Some of these rows were corrected before, in:")),
    items.map((offer) =>
      button(
        t("Use the {corrections} of #{number}", {
          corrections: plural(offer.rows, "correction"),
          number: offer.number,
        }),
        () => confirm(offer, path, follow),
        { title: offer.filename },
      ),
    ),
  );
}

function confirm(offer, path, follow) {
  const send = button(t("Correct and run again"), null, { kind: "primary", type: "submit" });
  const title = t("Use the corrections of #{number}", { number: offer.number });
  const submit = async () => {
    send.disabled = true;
    try {
      const accepted = await api.post(path, { job_id: offer.job_id });
      dialog.close();
      follow(accepted);
    } finally {
      send.disabled = false;
    }
  };
  const dialog = h(
    "dialog.card.sheet.small",
    { "aria-label": title, onclose: () => dialog.remove() },
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          submit().catch(fail);
        },
      },
      h("h2", {}, title),
      h(
        "p",
        {},
        t("{rows} have the same text and reason as rows of {name}, and become what those became.", {
          rows: plural(offer.rows, "reject"),
          name: offer.filename,
        }),
      ),
      beforeAndAfter(
        offer.examples.map(({ row_number: number, before, cells }) => ({
          number,
          before,
          after: cells,
        })),
      ),
      offer.rows > offer.examples.length &&
        h(
          "p.muted",
          {},
          t("and {count} more", { count: count(offer.rows - offer.examples.length) }),
        ),
      h(
        "div.row",
        {},
        send,
        button(t("Cancel"), () => dialog.close()),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  send.focus();
}
