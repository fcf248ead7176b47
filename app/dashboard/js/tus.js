// Uploads large files in pieces by the tus protocol. Received bytes survive lost connections and
// reloads of the page.

import { Problem, heard, query, sessionNow } from "./api.js";

const ENDPOINT = "/api/v1/uploads";
const PIECE_BYTES = 8 << 20;
/** Files up to this size are sent as one plain body. */
export const PLAIN_BYTES = PIECE_BYTES;
const PREFIX = "granula.upload:";
const STORING_POLL_MS = 400;
const TUS = { "Tus-Resumable": "1.0.0", Accept: "application/json" };
/** The upload no longer exists, or the response is unexpected: start again. */
export const FORGOTTEN = new Set([404, 410]);
/** Another request is writing, or the offset differs: request the offset. */
export const ASK_AGAIN = new Set([409, 423, 460]);

// -------------------------------------------------------------------- unfinished uploads, by file

/** Identifies a file that is chosen again by name, size and modification time, since a page
 *  cannot compare the bytes. */
const fingerprint = (file, options) =>
  PREFIX +
  JSON.stringify([
    file.name,
    file.size,
    file.lastModified,
    options.processor,
    options.priority,
    ...(options.labels ?? []),
    Object.entries({ ...options.option, ...options.settings }).join("&"),
  ]);

function remember(key, value) {
  try {
    if (value) localStorage.setItem(key, JSON.stringify(value));
    else localStorage.removeItem(key);
  } catch {
    /* not stored: it holds for this visit */
  }
}

function recall(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    if (kept && Date.now() < kept.until && kept.url.startsWith(`${ENDPOINT}/`)) return kept;
  } catch {
    /* not ours, or forbidden */
  }
  remember(key, null);
  return null;
}

/** Returns unfinished uploads of this browser: [{key, name, share}]. */
export function interrupted() {
  let keys = [];
  try {
    keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  } catch {
    /* forbidden */
  }
  return keys
    .map((key) => ({ key, kept: recall(key) }))
    .filter(({ kept }) => kept && !active.has(kept.url))
    .map(({ key, kept }) => ({ key, url: kept.url, name: kept.name, share: kept.share ?? 0 }));
}

/** Deletes an unfinished upload, here and in the service. */
export function abandon({ key, url }) {
  remember(key, null);
  if (url)
    fetch(url, {
      method: "DELETE",
      headers: TUS,
      credentials: "same-origin",
      keepalive: true,
    }).catch(() => {});
}

const active = new Set();

// -------------------------------------------------------------------- one upload

/** A request with progress. Resolves with the XMLHttpRequest of a 2xx answer; rejects with a
 *  Problem. */
function send(session, method, path, headers, body = null, onprogress = null) {
  return new Promise((resolve, reject) => {
    const request = (session.request = new XMLHttpRequest());
    const begun = sessionNow();
    request.open(method, path);
    for (const [name, value] of Object.entries({ ...TUS, ...headers }))
      request.setRequestHeader(name, value);
    if (onprogress) request.upload.onprogress = ({ loaded }) => onprogress(loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(request);
      heard(request.status, begun);
      let problem = null;
      try {
        problem = JSON.parse(request.responseText);
      } catch {
        /* not JSON: the status tells */
      }
      reject(new Problem(request.status, problem));
    };
    request.onerror = () =>
      reject(
        new Problem(0, { title: "The connection was lost", detail: "Received bytes are kept." }),
      );
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.send(body);
  });
}

/** The upload of one file. After a failure, `run` may be called again: it resumes at the
 *  service's offset. */
export class Session {
  constructor(file, options) {
    this.file = file;
    this.options = options;
    this.key = fingerprint(file, options);
    this.request = null;
    this.url = recall(this.key)?.url ?? null;
    if (this.url) active.add(this.url);
  }

  /** Uploads to the end; resolves with the answer of the upload. `onprogress(bytes, isSafe)`
   *  gets the sent bytes, and whether they are durable. */
  async run(onprogress) {
    let offset = this.url ? await this.#offset() : await this.#begin();
    onprogress(offset, true);
    while (offset < this.file.size) {
      const piece = this.file.slice(offset, offset + PIECE_BYTES);
      const from = offset;
      const answer = await send(
        this,
        "PATCH",
        this.url,
        { "Content-Type": "application/offset+octet-stream", "Upload-Offset": from },
        piece,
        (loaded) => onprogress(from + Math.min(loaded, piece.size), false),
      );
      offset = Number(answer.getResponseHeader("Upload-Offset"));
      if (!(offset > from))
        throw new Problem(0, {
          title: "The connection was lost",
          detail: "The response is invalid.",
        });
      this.#keep(offset, answer);
      onprogress(offset, true);
    }
    return this.#outcome();
  }

  /** Stops, and deletes the received bytes in the service. */
  abandon() {
    this.request?.abort();
    this.forget();
    abandon({ key: this.key, url: this.url });
  }

  /** Releases the upload; it can be resumed later. */
  leave() {
    active.delete(this.url);
  }

  /** Forgets the upload: there is nothing to resume. */
  forget() {
    this.leave();
    remember(this.key, null);
  }

  /** Starts again at the next `run`. */
  reset() {
    this.forget();
    this.url = null;
  }

  #keep(offset, answer) {
    const until = Date.parse(answer.getResponseHeader("Upload-Expires"));
    remember(
      this.key,
      until ? { url: this.url, name: this.file.name, share: offset / this.file.size, until } : null,
    );
  }

  async #begin() {
    const { processor, priority, labels, option, settings } = this.options;
    const label = (labels ?? []).join(",");
    const made = await send(
      this,
      "POST",
      query(ENDPOINT, {
        processor,
        priority,
        label,
        filename: this.file.name,
        ...option,
        ...settings,
      }),
      { "Upload-Length": this.file.size },
    );
    // Behind a proxy the service may not know its own host name: only the path counts.
    this.url = `${ENDPOINT}/${made.getResponseHeader("Location").split("/").pop()}`;
    active.add(this.url);
    this.#keep(0, made);
    return 0;
  }

  async #offset() {
    try {
      const answer = await send(this, "HEAD", this.url, {});
      const [offset, length] = ["Upload-Offset", "Upload-Length"].map((name) =>
        Number(answer.getResponseHeader(name)),
      );
      if (length !== this.file.size) throw new Problem(404, null);
      return offset;
    } catch (error) {
      // HEAD has no body with the reason of a refusal.
      if (
        error.status >= 400 &&
        error.status < 500 &&
        !FORGOTTEN.has(error.status) &&
        !ASK_AGAIN.has(error.status)
      )
        await this.#outcome();
      throw error;
    }
  }

  /** Returns the outcome of a complete upload. */
  async #outcome() {
    for (;;) {
      const about = JSON.parse((await send(this, "GET", this.url, {})).responseText);
      if (about.problem) throw new Problem(about.problem.status, about.problem);
      if (about.answer) return about.answer;
      if (about.state !== "storing") throw new Problem(409, null);
      await new Promise((resolve) => setTimeout(resolve, STORING_POLL_MS));
    }
  }
}
