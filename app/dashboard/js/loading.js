// Views are loaded when they are first opened. This explains a failed load.

import { OFFLINE } from "./api.js";
import { button, empty } from "./dom.js";
import { t } from "./messages.js";

const RETRY_MS = 2000;

/** Returns what `load` imports; otherwise null, and `show` gets a message: the service is
 *  unreachable, or this page is of an earlier version, whose files are gone. `again` is called
 *  once the service is back. */
export async function loaded(load, show, again) {
  try {
    return await load();
  } catch {
    const page = await fetch("/", { headers: { Accept: "text/html" }, cache: "no-store" }).catch(
      () => null,
    );
    if (page?.ok) {
      show(
        empty(
          t("This page is out of date"),
          t("Reload it to continue."),
          button(t("Load again"), () => location.reload(), { kind: "primary" }),
        ),
      );
    } else {
      show(
        empty(OFFLINE.title, OFFLINE.remedy, button(t("Try again"), again, { iconName: "retry" })),
      );
      setTimeout(again, RETRY_MS);
    }
    return null;
  }
}
