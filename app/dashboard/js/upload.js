// Uploads, with speed and remaining time. A small file is one plain body, retried with the same
// Idempotency-Key, so that one whose response was lost is not stored twice. A large one is sent in
// pieces and resumed where it stopped (tus.js).

import { Problem, heard, onSignedIn, query, sessionNow } from "./api.js";
import { t } from "./messages.js";
import { ASK_AGAIN, FORGOTTEN, PLAIN_BYTES, Session } from "./tus.js";

const TRIES = 8;
const LONGEST_WAIT_MS = 30_000;
const RETRIED = new Set([0, 408, 429, 502, 503, 504]);

/** The address and parameters of an upload; `option` has those of the processor by their query
 *  names, `settings` how the file is read. A schema is uploaded as an import, whose records can be
 *  searched. */
function address(file, { processor, priority, labels, isSchema, option, settings }) {
  const label = (labels ?? []).join(",");
  if (isSchema)
    return query("/api/upload", {
      schema: processor,
      priority,
      filename: file.name,
      label,
      on_duplicate: "new",
      ...option,
      ...settings,
    });
  return query("/api/v1/upload", {
    processor,
    priority,
    label,
    filename: file.name,
    ...option,
    ...settings,
  });
}

export class Upload {
  /** Calls `onchange(this)` at each step. State: sending, waiting (for the connection), locked
   *  (until sign-in), done, failed, cancelled. */
  constructor(file, options, onchange) {
    this.file = file;
    this.options = options;
    this.onchange = onchange;
    this.state = "sending";
    this.sent = 0;
    this.safe = 0;
    this.speed = 0;
    this.tries = 0;
    this.error = null;
    this.answer = null;
    this.key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    this.session = file.size > PLAIN_BYTES && !options.isSchema ? new Session(file, options) : null;
    this.retry = () => this.state === "waiting" && (clearTimeout(this.timer), this.#send());
    addEventListener("online", this.retry);
    this.stopWaiting = onSignedIn(() => this.state === "locked" && this.#send());
    this.#send();
  }

  get share() {
    return this.file.size ? this.sent / this.file.size : 1;
  }

  /** Seconds left; null while unknown. */
  get rest() {
    return this.speed > 0 ? (this.file.size - this.sent) / this.speed : null;
  }

  cancel() {
    this.#end("cancelled", {});
    clearTimeout(this.timer);
    this.request?.abort();
    this.session?.abandon();
  }

  #send() {
    this.state = "sending";
    this.mark = null;
    if (this.session) this.#sendInPieces();
    else this.#sendWhole();
    this.onchange(this);
  }

  /** Records sent bytes. Those from before this attempt do not count for the speed. */
  #progress(sent) {
    if (this.state !== "sending") return;
    const now = performance.now();
    this.sent = Math.min(sent, this.file.size);
    this.mark ??= { now, sent };
    if (now - this.mark.now > 400) {
      const speed = (Math.max(0, sent - this.mark.sent) / (now - this.mark.now)) * 1000;
      this.speed = this.speed ? 0.7 * this.speed + 0.3 * speed : speed;
      this.mark = { now, sent };
    }
    this.onchange(this);
  }

  #sendInPieces() {
    this.session
      .run((sent, isSafe) => {
        if (isSafe && sent > this.safe) {
          this.safe = sent;
          this.tries = 0; // progress: only consecutive failures count
        }
        this.#progress(sent);
      })
      .then(
        (answer) => {
          this.session.forget();
          this.#end("done", { answer, sent: this.file.size });
        },
        (error) => {
          if (error.name === "AbortError" || this.state === "cancelled") return;
          const isForgotten = FORGOTTEN.has(error.status) && this.session.url !== null;
          if (isForgotten) this.session.reset();
          this.#stumble(error, isForgotten || ASK_AGAIN.has(error.status));
        },
      );
  }

  #sendWhole() {
    const request = (this.request = new XMLHttpRequest());
    const begun = sessionNow();
    request.open("POST", address(this.file, this.options));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", this.key);
    this.#progress(0);
    request.upload.onprogress = ({ loaded }) => this.#progress(loaded);
    request.onload = () => {
      heard(request.status, begun);
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        /* not JSON: the status tells */
      }
      if (request.status >= 200 && request.status < 300)
        this.#end("done", { answer: body, sent: this.file.size });
      else this.#stumble(new Problem(request.status, body));
    };
    request.onerror = () =>
      this.#stumble(
        new Problem(0, {
          title: t("The connection was lost"),
          detail: t("The upload did not arrive."),
        }),
      );
    request.send(this.file);
  }

  #stumble(error, isPassing = RETRIED.has(error.status)) {
    if (this.state === "cancelled") return;
    if (error.status === 401) {
      Object.assign(this, { state: "locked", speed: 0, sent: this.session ? this.safe : 0 });
      return this.onchange(this);
    }
    this.tries += 1;
    if (!isPassing && !RETRIED.has(error.status)) {
      // The content is refused: a retry would not help. A full disk is transient.
      if (error.status < 500) this.session?.forget();
      return this.#end("failed", { error });
    }
    if (this.tries >= TRIES) return this.#end("failed", { error });
    Object.assign(this, { state: "waiting", speed: 0, sent: this.session ? this.safe : 0 });
    this.timer = setTimeout(() => this.#send(), Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.tries));
    this.onchange(this);
  }

  #end(state, values) {
    removeEventListener("online", this.retry);
    this.stopWaiting();
    this.session?.leave();
    Object.assign(this, { state, ...values });
    this.onchange(this);
  }
}
