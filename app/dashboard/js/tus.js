// Large files in pieces, by the tus protocol: what has arrived stays, over lost connections and over reloads of the page.

import { Problem, heard, query, sessionNow } from "./api.js";

const ENDPOINT = "/api/v1/uploads";
const PIECE_BYTES = 8 << 20;
/** Files up to here go as one plain body: there is little to lose. */
export const PLAIN_BYTES = PIECE_BYTES;
const PREFIX = "granula.upload:";
const STORING_POLL_MS = 400;
const TUS = { "Tus-Resumable": "1.0.0", Accept: "application/json" };
/** The service does not know the upload any more, or it does not speak as expected: begin anew. */
export const FORGOTTEN = new Set([404, 410]);
/** Somebody else writes, or the offset is another: ask how far it is. */
export const ASK_AGAIN = new Set([409, 423, 460]);

// -------------------------------------------------------------------- what was begun, by the file that it is of

/** The same file, chosen again for the same: name, size and time of change stand for the bytes, which a page cannot look up. */
const fingerprint = (file, options) =>
  PREFIX +
  JSON.stringify([
    file.name,
    file.size,
    file.lastModified,
    options.processor,
    options.priority,
    Object.entries(options.option ?? {}).join("&"),
  ]);

function remember(key, value) {
  try {
    if (value) localStorage.setItem(key, JSON.stringify(value));
    else localStorage.removeItem(key);
  } catch {
    /* for this visit, then */
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

/** Uploads that were begun in this browser and are not done: [{key, name, share}]. */
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

/** Forget one for good, here and in the service. */
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

/** A request with progress. Resolves with the XMLHttpRequest of a 2xx answer; rejects with a Problem. */
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
        /* told by its status, then */
      }
      reject(new Problem(request.status, problem));
    };
    request.onerror = () =>
      reject(
        new Problem(0, { title: "The connection was lost", detail: "What has arrived is kept." }),
      );
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.send(body);
  });
}

/** One file on its way. `run` may be called again after it failed: it goes on where the service says. */
export class Session {
  constructor(file, options) {
    Object.assign(this, { file, options, key: fingerprint(file, options), request: null });
    this.url = recall(this.key)?.url ?? null;
    if (this.url) active.add(this.url);
  }

  /** To its end; resolves with the answer of the upload. `onprogress(bytes, isSafe)` tells how many are on the way,
   *  or have arrived for good. */
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
          detail: "The answer makes no sense.",
        });
      this.#keep(offset, answer);
      onprogress(offset, true);
    }
    return this.#outcome();
  }

  /** Stop, and let the service forget what has arrived. */
  abandon() {
    this.request?.abort();
    this.forget();
    abandon({ key: this.key, url: this.url });
  }

  /** Nobody works at it now; it can be gone on with later. */
  leave() {
    active.delete(this.url);
  }

  /** Nothing is to be resumed any more. */
  forget() {
    this.leave();
    remember(this.key, null);
  }

  /** Begin anew at the next `run`. */
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
    const { processor, priority, option } = this.options;
    const made = await send(
      this,
      "POST",
      query(ENDPOINT, { processor, priority, filename: this.file.name, ...option }),
      { "Upload-Length": this.file.size },
    );
    // Of whatever the service calls itself behind a proxy, the path is what counts here.
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
      // HEAD has no body to say why a file was refused.
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

  /** What became of the file once its last byte was there. */
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
