// Puts the parts together: what is open, what is selected, what changes.

import {ask, pictureOf, Saver, ServerError} from './api.js';
import {describe, keyTable, listen} from './keys.js';
import {ImageRows} from './list.js';
import {describeJoint, Panel} from './panel.js';
import {Stage} from './stage.js';

const $ = (id) => document.getElementById(id);
const NUDGE_PAUSE = 350; // ms after which moves by arrow keys are one change

class App {
  constructor(project) {
    this.project = project;
    this.doc = null;
    this.follows = project.follows;
    $('follow').setAttribute('aria-pressed', this.follows);
    this.asked = new Set(); // doubtful joints that were offered
    this.saver = new Saver({
      state: (state) => this.showState(state),
      saved: (doc, entry, change) => this.saved(doc, entry, change),
      conflict: (doc, entry, change) => this.conflict(doc, entry, change),
      refused: (doc, error) => this.refused(doc, error),
    });
    this.stage = new Stage(project, {
      select: (person, joint) => this.select(person, joint),
      drag: (person, joint, place, event) => this.drag(person, joint, place, event),
      drop: (person, joint, event) => this.drop(person, joint, event),
      place: (point) => this.addPerson(point),
    });
    this.panel = new Panel(project, {
      select: (person, joint) => {
        this.select(person, joint);
        this.stage.root.focus({preventScroll: true});
      },
      remove: (person) => this.remove(person),
      setClass: (id) => this.setClass(id),
    });
    this.rows = new ImageRows(project, (index) => this.open(index));
    this.connect();
  }

  connect() {
    const actions = {
      'previous': () => this.go(-1), 'next': () => this.go(1),
      'undo': () => this.step('undo'), 'redo': () => this.step('redo'),
      'add': () => (this.stage.adding ? this.escape() : this.startAdding()),
      'cancel': () => this.escape(), 'follow': () => this.toggleFollow(),
      'doubtful': () => this.doubtful(), 'done': () => this.finish(!this.doc?.done), 'export': () => this.export(),
      'help-button': () => this.help(), 'zoom-in': () => this.stage.zoom(1.25),
      'zoom-out': () => this.stage.zoom(0.8), 'fit': () => this.stage.fit(),
      'list-toggle': () => {
        const hidden = document.body.classList.toggle('no-list');
        $('list-toggle').setAttribute('aria-expanded', !hidden);
      },
    };
    for (const [id, action] of Object.entries(actions)) $(id).addEventListener('click', action);
    $('message').querySelector('button').addEventListener('click', () => this.tell(''));
    for (const [joint, {name}] of this.project.keypoints.entries()) {
      $('clicked').append(Object.assign(document.createElement('option'),
        {value: joint, textContent: name.replaceAll('_', ' ')}));
    }
    const table = keyTable(this);
    describe(table, $('keys'));
    listen(table, this);
    window.addEventListener('beforeunload', (event) => {
      if (this.saver.busy) event.preventDefault();
    });
    document.addEventListener('visibilitychange', () => this.refresh());
    window.addEventListener('popstate', () => this.openAddress());
    $('picture').addEventListener('error', () => {
      if (this.doc) this.showEmpty(`${this.doc.name}: the browser cannot show this image.`);
    });
  }

  // --- messages ---

  tell(text, kind = 'good', link = null) {
    const box = $('message');
    box.hidden = !text;
    box.dataset.kind = kind;
    const span = box.querySelector('span');
    span.textContent = text;
    if (link) span.append(' ', link);
    clearTimeout(this.timer);
    if (kind === 'good' && text) this.timer = setTimeout(() => this.tell(''), 12000);
  }

  showState(state) {
    const texts = {saved: 'Saved', saving: 'Saving…',
      waiting: 'Not saved: the server does not answer. Trying again…'};
    $('saved').dataset.state = state;
    $('saved').textContent = texts[state];
  }

  showEmpty(text) {
    $('empty').hidden = !text;
    $('empty').textContent = text;
  }

  // Ask the server; what it refuses is shown, and null returned.
  async request(path, options) {
    try {
      return await ask(path, options);
    } catch (error) {
      const refused = error instanceof ServerError;
      this.tell(refused ? error.message : 'The server does not answer. Is it still running?', 'bad');
      return null;
    }
  }

  // --- images ---

  openAddress() {
    const name = new URLSearchParams(location.search).get('image');
    const index = this.project.names.indexOf(name);
    const open = this.project.progress.findIndex((kind) => kind !== 2);
    this.open(index >= 0 ? index : Math.max(0, open));
  }

  async open(index) {
    if (index === undefined) return;
    // Those for an image that was left meanwhile are dropped.
    const waiting = this.waiting = [];
    $('stage').classList.add('opening');
    await this.load(index);
    if (this.waiting !== waiting) return;
    this.waiting = null;
    $('stage').classList.remove('opening');
    for (const action of waiting) action();
  }

  // What is asked for while an image is being opened is meant for that one.
  whenOpen(action) {
    if (this.waiting) this.waiting.push(action);
    else action();
  }

  async load(index) {
    this.finishNudge();
    const name = this.project.names[index];
    this.rows.show(index);
    this.opening = name;
    this.stopAdding();
    $('title').textContent = name;
    $('title').title = name;
    document.title = `${name} – Label poses`;
    const address = `/?image=${encodeURIComponent(name)}`;
    if (location.pathname + location.search !== address) {
      history[this.doc ? 'pushState' : 'replaceState'](null, '', address);
    }
    await this.saver.work; // of this image, too
    const entry = await this.request('image', {name});
    if (this.opening !== name) return;
    if (!entry) {
      this.doc = null;
      this.stage.doc = {people: [], width: 1, height: 1};
      this.stage.picture.removeAttribute('src');
      this.stage.rebuild();
      this.showEmpty(`${name} cannot be opened; the message above says why.`);
      return;
    }
    this.showEmpty('');
    const {state, ...rest} = entry;
    this.doc = {name, ...state, ...rest};
    this.asked.clear();
    this.stage.selected = this.stage.joint = null;
    this.stage.open(this.doc, pictureOf(name));
    this.redraw();
  }

  // The state may have been changed in another tab.
  async refresh() {
    if (document.hidden || !this.doc || this.saver.busy || this.nudging) return;
    const {doc} = this;
    let entry;
    try {
      entry = await ask('image', {name: doc.name});
    } catch {
      return; // the next change tells
    }
    if (doc === this.doc && !this.saver.busy && entry.revision !== doc.revision) {
      this.take(doc, entry);
    }
  }

  go(by) {
    this.open(this.rows.neighbor(by));
  }

  goOpen() {
    const next = this.rows.nextOpen();
    if (next === undefined) this.tell('All images are done.');
    else this.open(next);
  }

  finish(done = true) {
    const {doc} = this;
    if (!doc) return;
    this.finishNudge();
    if (doc.done !== done) {
      doc.done = done;
      this.rows.mark(doc.name, 1 + done);
      this.changed();
    }
    if (done) this.goOpen();
  }

  async export() {
    await this.finishNudge();
    await this.saver.work;
    const done = await this.request('export', {method: 'POST', body: {}});
    if (!done) return;
    const open = done.unfinished ? `, of which ${done.unfinished} are not marked as done` : '';
    this.tell(`Written: ${done.images} images${open}, ${done.people} people, to ${done.path}.`, 'good',
      Object.assign(document.createElement('a'), {href: '/api/export', textContent: 'Download', download: ''}));
  }

  // --- saving ---

  changed(refine = null) {
    this.redraw();
    return this.saver.push(this.doc, refine);
  }

  take(doc, entry) {
    Object.assign(doc, entry.state, {revision: entry.revision, undo: entry.undo, redo: entry.redo});
    this.rows.mark(doc.name, entry.revision ? 1 + doc.done : 0);
    if (doc === this.doc) this.redraw();
  }

  saved(doc, entry, change) {
    Object.assign(doc, {undo: entry.undo, redo: entry.redo});
    this.rows.mark(doc.name, 1 + entry.state.done);
    this.follow(doc, entry.state.people.find((person) => person.id === change.refine));
    if (doc === this.doc) this.redraw();
  }

  // Take over the places of free joints, but of one that is being dragged.
  follow(doc, refined) {
    const person = refined && doc.people.find((one) => one.id === refined.id);
    if (!person) return;
    const held = this.stage.pointer?.kind === 'joint' && this.stage.pointer.person === person.id
      ? this.stage.pointer.joint : null;
    refined.keypoints.forEach(([x, y], joint) => {
      if (person.fixed[joint] || joint === held) return;
      person.keypoints[joint] = [x, y, person.keypoints[joint][2]];
    });
  }

  conflict(doc, entry, change) {
    const same = JSON.stringify([change.people, change.done])
      === JSON.stringify([entry.state.people, entry.state.done]);
    this.take(doc, entry);
    if (same) return; // it was saved, but the answer was lost
    this.tell(`${doc.name} was changed elsewhere, perhaps in another tab. You see its newest `
      + 'state; your last change was not saved. Repeat it where it is still needed.', 'warn');
  }

  async refused(doc, error) {
    this.tell(`Not saved: ${error.message}`, 'bad');
    if (doc === this.doc) await this.open(this.project.names.indexOf(doc.name));
  }

  async step(path) {
    const {doc} = this;
    if (!doc) return;
    await this.finishNudge();
    await this.saver.work;
    if (!doc[path]) return;
    try {
      this.take(doc, await ask(`image/${path}`, {
        name: doc.name, method: 'POST', body: {revision: doc.revision}}));
    } catch (error) {
      if (error.status === 409) this.conflict(doc, error.entry, {});
      else this.tell(error.status ? error.message : 'The server does not answer.', 'bad');
    }
  }

  // --- selection ---

  get person() {
    return this.doc?.people.find((person) => person.id === this.stage.selected);
  }

  select(id, joint = null) {
    this.finishNudge();
    this.stage.selected = id;
    this.stage.joint = id === null ? null : joint;
    this.redraw();
    const {person} = this;
    $('announce').textContent = !person ? '' : joint === null
      ? `Person ${this.doc.people.indexOf(person) + 1}` : describeJoint(this.project, person, joint);
  }

  nextPerson(by) {
    const {people} = this.doc || {people: []};
    if (!people.length) return;
    const here = people.indexOf(this.person);
    const next = here < 0 ? (by > 0 ? 0 : people.length - 1) : here + by;
    this.select(people[(next + people.length) % people.length].id);
  }

  nextJoint(by) {
    if (!this.person) this.nextPerson(1);
    if (!this.person) return;
    const count = this.project.keypoints.length;
    const here = this.stage.joint ?? (by > 0 ? -1 : count);
    this.select(this.person.id, (here + by + count) % count);
  }

  // The joint with the least score, of those not offered yet.
  doubtful() {
    const all = (this.doc?.people || []).flatMap((person) => (person.scores || [])
      .map((score, joint) => ({person, joint, score, key: `${person.id} ${joint}`}))
      .filter(({joint}) => !person.fixed[joint] && person.keypoints[joint][2] > 0));
    if (!all.length) {
      this.tell(this.doc?.people.some((person) => person.scores)
        ? 'No free joint is left in this image.'
        : 'The model gives no scores of single joints.');
      return;
    }
    if (all.every(({key}) => this.asked.has(key))) this.asked.clear();
    const worst = all.filter(({key}) => !this.asked.has(key))
      .reduce((a, b) => (b.score < a.score ? b : a));
    this.asked.add(worst.key);
    this.select(worst.person.id, worst.joint);
  }

  escape() {
    if (this.stage.adding) this.stopAdding();
    else if (!$('message').hidden) this.tell('');
    else if (this.stage.joint !== null) this.select(this.stage.selected, null);
    else this.select(null);
  }

  // --- joints ---

  moved(person, joint, [x, y]) {
    const point = person.keypoints[joint];
    const round = (value) => Math.round(value * 100) / 100;
    person.keypoints[joint] = [round(x), round(y), point[2] || 2];
    person.fixed[joint] = true;
  }

  drag(id, joint, place, event) {
    const person = this.doc.people.find((one) => one.id === id);
    if (!person) return;
    const redo = person.keypoints[joint][2] === 0 || !person.fixed[joint];
    this.moved(person, joint, place);
    if (redo) this.redraw();
    else this.stage.draw();
    if (this.follows && !event.altKey) this.preview(person, joint);
  }

  // What follows while dragging; one request at a time.
  async preview(person, joint) {
    if (this.previewing) return;
    this.previewing = true;
    const {doc} = this;
    try {
      const refined = await ask('image/refine', {name: doc.name, method: 'POST', body: {person}});
      if (this.stage.pointer?.joint === joint && doc === this.doc) {
        this.follow(doc, refined);
        this.stage.draw();
      }
    } catch { /* the drop tells */ }
    this.previewing = false;
  }

  drop(id, joint, event) {
    if (!this.doc.people.some((one) => one.id === id)) return;
    this.changed(this.follows && !event.altKey ? id : null);
  }

  nudge(x, y, by) {
    const {person} = this;
    const {joint} = this.stage;
    if (!person || joint === null) return;
    const [px, py] = person.keypoints[joint];
    const {width, height} = this.doc;
    this.moved(person, joint, [Math.min(width, Math.max(0, px + x * by)),
      Math.min(height, Math.max(0, py + y * by))]);
    this.redraw();
    clearTimeout(this.nudging?.timer);
    this.nudging = {id: person.id, timer: setTimeout(() => this.finishNudge(), NUDGE_PAUSE)};
  }

  async finishNudge() {
    const {nudging} = this;
    if (!nudging) return;
    this.nudging = null;
    clearTimeout(nudging.timer);
    await this.changed(this.follows ? nudging.id : null);
  }

  setVisibility(value) {
    const {person} = this;
    const {joint} = this.stage;
    if (!person || joint === null) {
      this.tell('Select a joint first: click on it, or press S.');
      return;
    }
    this.finishNudge();
    const point = person.keypoints[joint];
    const next = value ?? (point[2] + 1) % 3;
    if (next === point[2]) return;
    point[2] = next;
    this.changed();
    $('announce').textContent = describeJoint(this.project, person, joint);
  }

  toggleFixed() {
    const {person} = this;
    const {joint} = this.stage;
    if (!person || joint === null) return;
    this.finishNudge();
    person.fixed[joint] = !person.fixed[joint];
    this.changed();
  }

  toggleAllFixed() {
    const {person} = this;
    if (!person) return;
    this.finishNudge();
    person.fixed.fill(!person.fixed.every(Boolean));
    this.changed();
  }

  toggleFollow() {
    this.follows = !this.follows;
    $('follow').setAttribute('aria-pressed', this.follows);
    $('announce').textContent = this.follows ? 'Joints follow' : 'Joints do not follow';
  }

  refineSelected() {
    if (!this.person) return;
    this.finishNudge();
    this.changed(this.person.id);
  }

  // --- people ---

  startAdding() {
    if (!this.doc) return;
    this.stage.adding = true;
    this.stage.cross = this.stage.center();
    $('adding').hidden = false;
    $('add').setAttribute('aria-pressed', true);
    this.stage.root.focus({preventScroll: true});
    this.stage.draw();
  }

  stopAdding() {
    this.stage.adding = false;
    this.stage.cross = null;
    $('adding').hidden = true;
    $('add').setAttribute('aria-pressed', false);
    this.stage.draw();
  }

  // Keys while a person is added: whether one was meant.
  adding(event) {
    const {stage} = this;
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!stage.adding || (!step && event.key !== 'Enter')) return false;
    const by = (event.shiftKey ? 40 : 8) / stage.view.scale;
    if (step) stage.moveCross([stage.cross[0] + by * step[0], stage.cross[1] + by * step[1]]);
    else this.addPerson(stage.cross);
    return true;
  }

  async addPerson(point) {
    const {doc} = this;
    const {width, height} = doc;
    const place = [Math.min(width, Math.max(0, point[0])), Math.min(height, Math.max(0, point[1]))];
    const joint = $('clicked').value === '' ? null : Number($('clicked').value);
    this.stopAdding();
    const found = await this.request('image/person', {
      name: doc.name, method: 'POST', body: {point: place, joint}});
    if (!found || doc !== this.doc) return;
    found.id = 1 + Math.max(0, ...doc.people.map((person) => person.id));
    doc.people.push(found);
    this.stage.selected = found.id;
    this.stage.joint = joint;
    this.changed();
  }

  remove(id = this.stage.selected) {
    const index = this.doc?.people.findIndex((person) => person.id === id) ?? -1;
    if (index < 0) return;
    this.finishNudge();
    this.doc.people.splice(index, 1);
    if (id === this.stage.selected) this.stage.selected = this.stage.joint = null;
    this.changed();
  }

  mirror() {
    const {person} = this;
    if (!person) return;
    this.finishNudge();
    for (const field of ['keypoints', 'fixed', 'scores', 'start']) {
      if (person[field]) person[field] = this.project.flip.map((other) => person[field][other]);
    }
    this.changed();
  }

  setClass(id) {
    if (!this.person || this.person.category === id) return;
    this.finishNudge();
    this.person.category = id;
    this.changed();
  }

  nextClass() {
    const {classes} = this.project;
    if (!this.person) return;
    const here = classes.findIndex(({id}) => id === this.person.category);
    this.setClass(classes[(here + 1) % classes.length].id);
  }

  // --- view ---

  zoomToPerson() {
    if (this.person) this.stage.fitPerson(this.person);
    else this.stage.fit();
  }

  toggleHidden() {
    this.stage.hidden = !this.stage.hidden;
    this.stage.draw();
  }

  help() {
    $('help').showModal();
  }

  redraw() {
    const {doc} = this;
    if (!doc) return;
    if (!this.person) this.stage.selected = this.stage.joint = null;
    this.stage.rebuild();
    this.panel.draw(doc, this.stage.selected, this.stage.joint);
    $('undo').disabled = !doc.undo && !this.saver.busy;
    $('redo').disabled = !doc.redo;
    $('done').setAttribute('aria-pressed', doc.done);
    $('done').textContent = doc.done ? 'Done ✓' : 'Done';
  }
}

try {
  const app = new App(await ask('project'));
  app.openAddress();
} catch (error) {
  $('message').hidden = false;
  $('message').dataset.kind = 'bad';
  $('message').querySelector('span').textContent = `The page cannot start: ${error.message}`;
  throw error;
}
