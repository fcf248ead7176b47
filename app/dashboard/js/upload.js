// Uploads: the raw body, with speed and rest time. A lost connection is tried again under the same Idempotency-Key, so that
// a file whose answer got lost is not there twice.

import { Problem, query } from "./api.js";

const TRIES = 8;
const RETRIED = new Set([0, 408, 429, 502, 503, 504]);

/** The address and parameters of an upload; a schema goes through the door whose records can be searched. */
function address(file, { processor, priority, isSchema, model }) {
  if (isSchema) return query("/api/upload", { schema: processor, priority, filename: file.name, on_duplicate: "new" });
  return query("/api/v1/upload", { processor, priority, filename: file.name, model });
}

export class Upload {
  /** `onchange(this)` at each step. State: sending, waiting (for the connection), done, failed, cancelled. */
  constructor(file, options, onchange) {
    Object.assign(this, { file, options, onchange, state: "sending", sent: 0, speed: 0, tries: 0, error: null, answer: null });
    this.key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    this.#send();
  }

  get share() {
    return this.file.size ? this.sent / this.file.size : 1;
  }

  /** Seconds, or null while nobody can tell. */
  get rest() {
    return this.speed > 0 ? (this.file.size - this.sent) / this.speed : null;
  }

  cancel() {
    this.state = "cancelled";
    clearTimeout(this.timer);
    this.request?.abort();
    this.onchange(this);
  }

  #send() {
    this.state = "sending";
    let [time, sent] = [performance.now(), 0];
    const request = (this.request = new XMLHttpRequest());
    request.open("POST", address(this.file, this.options));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", this.key);
    request.upload.onprogress = ({ loaded }) => {
      const now = performance.now();
      this.sent = Math.min(loaded, this.file.size);
      if (now - time > 400) {
        const speed = ((loaded - sent) / (now - time)) * 1000;
        this.speed = this.speed ? 0.7 * this.speed + 0.3 * speed : speed;
        [time, sent] = [now, loaded];
      }
      this.onchange(this);
    };
    request.onload = () => {
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch { /* told by its status, then */ }
      if (request.status >= 200 && request.status < 300) this.#end("done", { answer: body, sent: this.file.size });
      else this.#stumble(new Problem(request.status, body));
    };
    request.onerror = () => this.#stumble(new Problem(0, { title: "The connection was lost", detail: "The upload did not arrive." }));
    request.send(this.file);
    this.onchange(this);
  }

  #stumble(error) {
    if (this.state === "cancelled") return;
    this.tries += 1;
    if (!RETRIED.has(error.status) || this.tries >= TRIES) return this.#end("failed", { error });
    Object.assign(this, { state: "waiting", speed: 0, sent: 0 });
    this.timer = setTimeout(() => this.#send(), Math.min(30_000, 500 * 2 ** this.tries));
    this.onchange(this);
  }

  #end(state, values) {
    Object.assign(this, { state, ...values });
    this.onchange(this);
  }
}
