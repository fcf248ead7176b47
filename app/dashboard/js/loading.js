// Views are loaded when they are first looked at. What went wrong with that is one of two things.

import { OFFLINE } from "./api.js";
import { button, empty } from "./dom.js";

const RETRY_MS = 2000;

/** What `load` imports; else null, and `show` gets what to show instead: the service is away, or this page is of an earlier
 *  version, whose files are gone. `again` is called once the service is back. */
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
          "This page is out of date",
          "Load it again to go on.",
          button("Load again", () => location.reload(), { kind: "primary" }),
        ),
      );
    } else {
      show(empty(OFFLINE.title, OFFLINE.remedy, button("Try again", again, { iconName: "retry" })));
      setTimeout(again, RETRY_MS);
    }
    return null;
  }
}
