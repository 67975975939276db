// Requests to the server, and the queue of changes that it must keep.

export class ServerError extends Error {
  constructor(status, body) {
    super(body.error || `The server answered with status ${status}.`);
    this.status = status;
    this.entry = body.entry;
  }
}

export async function ask(path, {name, method = 'GET', body} = {}) {
  const query = name === undefined ? '' : `?name=${encodeURIComponent(name)}`;
  const response = await fetch(`/api/${path}${query}`, {
    method,
    headers: body === undefined ? {} : {'Content-Type': 'application/json'},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response.json();
  const text = await response.text();
  let answer = {error: text.trim()};
  try {
    answer = JSON.parse(text);
  } catch { /* plain text */ }
  throw new ServerError(response.status, answer);
}

export const pictureOf = (name) =>
  `/api/image/file?name=${encodeURIComponent(name)}`;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Sends changes one after the other. An image is a document with `name`,
// `revision`, `done` and `people`; what is sent is what it was when the change
// was made. While the server does not answer, the change is sent again.
export class Saver {
  // on.state(text), on.saved(doc, entry, change), on.conflict(doc, entry),
  // on.refused(doc, error)
  constructor(on) {
    this.on = on;
    this.changes = [];
    this.work = Promise.resolve();
  }

  get busy() {
    return this.changes.length > 0;
  }

  push(doc, refine = null) {
    const {done, people} = structuredClone({done: doc.done, people: doc.people});
    this.changes.push({doc, done, people, refine});
    this.on.state('saving');
    this.work = this.work.then(() => this.send());
    return this.work;
  }

  async send() {
    const change = this.changes[0];
    if (!change) return; // dropped after a conflict
    const {doc, done, people, refine} = change;
    const body = {revision: doc.revision, done, people, refine};
    for (;;) {
      try {
        const entry = await ask('image', {name: doc.name, method: 'PUT', body});
        this.changes.shift();
        doc.revision = entry.revision;
        this.on.saved(doc, entry, change);
        break;
      } catch (error) {
        if (error instanceof ServerError) {
          this.changes = this.changes.filter((other) => other.doc !== doc);
          if (error.status === 409) this.on.conflict(doc, error.entry, change);
          else this.on.refused(doc, error);
          break;
        }
        this.on.state('waiting');
        await pause(1000);
      }
    }
    if (!this.busy) this.on.state('saved');
  }
}
