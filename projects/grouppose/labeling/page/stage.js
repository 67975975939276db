// The image with its poses: drawing, zoom and what the pointer does.

const SVG = 'http://www.w3.org/2000/svg';
export const UNSURE = 0.5; // a score below which a joint stands out

const element = (name, attributes = {}) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

export const isUnsure = (person, joint) => person.scores !== null
  && !person.fixed[joint] && person.keypoints[joint][2] > 0
  && person.scores[joint] < UNSURE;

// What a joint looks like, by how it is labeled.
const SHAPES = {
  free: () => element('circle', {r: 5}),
  fixed: () => element('rect', {x: -5, y: -5, width: 10, height: 10, rx: 1.5}),
  absent: () => element('path', {d: 'M-4,-4L4,4M-4,4L4,-4'}),
};

export class Stage {
  // on: select(person, joint), drag(person, joint, [x, y], event),
  // drop(person, joint, event), place([x, y]), hover(person, joint)
  constructor(project, on) {
    this.project = project;
    this.on = on;
    this.root = document.getElementById('stage');
    this.picture = document.getElementById('picture');
    this.overlay = document.getElementById('overlay');
    this.doc = null;
    this.selected = null;
    this.joint = null;
    this.adding = false;
    this.hidden = false;
    this.cross = null;
    this.view = {scale: 1, x: 0, y: 0};
    this.marks = [];
    new ResizeObserver(() => this.resized()).observe(this.root);
    this.root.addEventListener('wheel', (event) => this.wheel(event), {passive: false});
    for (const kind of ['down', 'move', 'up', 'cancel']) {
      this.root.addEventListener(`pointer${kind}`, (event) => this[kind](event));
    }
  }

  open(doc, url) {
    this.doc = doc;
    this.pointer = null;
    this.picture.src = url;
    this.picture.style.width = `${doc.width}px`;
    this.picture.style.height = `${doc.height}px`;
    this.fit();
  }

  // --- the view ---

  resized() {
    if (this.doc && this.isFit) this.fit();
    else this.draw();
  }

  fit(box = null) {
    if (!this.doc) return;
    const {clientWidth, clientHeight} = this.root;
    const [left, top, right, bottom] = box || [0, 0, this.doc.width, this.doc.height];
    const margin = box ? 0.7 : 0.97;
    const scale = Math.min(40, margin * Math.min(
      clientWidth / (right - left), clientHeight / (bottom - top)));
    this.view = {
      scale,
      x: clientWidth / 2 - scale * (left + right) / 2,
      y: clientHeight / 2 - scale * (top + bottom) / 2,
    };
    this.isFit = !box;
    this.draw();
  }

  fitPerson(person) {
    const points = person.keypoints.filter((point) => point[2] > 0);
    if (!points.length) return;
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    this.fit([Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1]);
  }

  zoom(factor, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    const scale = Math.min(60, Math.max(0.02, this.view.scale * factor));
    const ratio = scale / this.view.scale;
    this.view = {
      scale, x: x - ratio * (x - this.view.x), y: y - ratio * (y - this.view.y),
    };
    this.isFit = false;
    this.draw();
  }

  toScreen(x, y) {
    const {view} = this;
    return [x * view.scale + view.x, y * view.scale + view.y];
  }

  toImage(event) {
    const box = this.root.getBoundingClientRect();
    const {view} = this;
    return [(event.clientX - box.left - view.x) / view.scale,
      (event.clientY - box.top - view.y) / view.scale];
  }

  center() {
    const {view} = this;
    return [(this.root.clientWidth / 2 - view.x) / view.scale,
      (this.root.clientHeight / 2 - view.y) / view.scale];
  }

  // --- the pointer ---

  wheel(event) {
    event.preventDefault();
    const box = this.root.getBoundingClientRect();
    const step = event.deltaMode ? 30 * event.deltaY : event.deltaY;
    this.zoom(Math.exp(-0.002 * Math.max(-150, Math.min(150, step))),
      event.clientX - box.left, event.clientY - box.top);
  }

  down(event) {
    if (!this.doc || event.target.closest('#zoom, #adding, #empty')) return;
    this.root.focus({preventScroll: true});
    if (event.button > 1) return;
    event.preventDefault();
    const joint = event.target.closest('.joint');
    const person = event.target.closest('.person');
    const start = {x: event.clientX, y: event.clientY, moved: false, id: event.pointerId};
    if (this.adding && event.button === 0) {
      this.pointer = {...start, kind: 'place'};
    } else if (joint && event.button === 0) {
      const [id, index] = [Number(person.dataset.person), Number(joint.dataset.joint)];
      this.on.select(id, index);
      const [x, y] = this.person(id).keypoints[index];
      const grabbed = this.toImage(event);
      this.pointer = {...start, kind: 'joint', person: id, joint: index,
        offset: [x - grabbed[0], y - grabbed[1]]};
    } else {
      this.pointer = {...start, kind: 'pan', view: this.view,
        person: person && Number(person.dataset.person)};
    }
    this.root.setPointerCapture(event.pointerId);
  }

  move(event) {
    const {pointer} = this;
    if (!pointer) {
      if (this.adding) this.moveCross(this.toImage(event));
      return;
    }
    const [dx, dy] = [event.clientX - pointer.x, event.clientY - pointer.y];
    if (!pointer.moved && Math.hypot(dx, dy) < 3) return;
    pointer.moved = true;
    if (pointer.kind === 'joint') {
      const [x, y] = this.toImage(event);
      const {width, height} = this.doc;
      const place = [Math.min(width, Math.max(0, x + pointer.offset[0])),
        Math.min(height, Math.max(0, y + pointer.offset[1]))];
      this.on.drag(pointer.person, pointer.joint, place, event);
    } else {
      const view = pointer.view || this.view;
      pointer.view = view;
      this.view = {scale: view.scale, x: view.x + dx, y: view.y + dy};
      this.isFit = false;
      this.draw();
    }
  }

  up(event) {
    const {pointer} = this;
    this.pointer = null;
    if (!pointer) return;
    if (pointer.kind === 'joint') {
      if (pointer.moved) this.on.drop(pointer.person, pointer.joint, event);
    } else if (!pointer.moved) {
      if (pointer.kind === 'place') this.on.place(this.toImage(event));
      else this.on.select(pointer.person ?? null, null);
    }
  }

  cancel(event) {
    this.up(event);
  }

  moveCross(place) {
    this.cross = place;
    this.draw();
  }

  // --- drawing ---

  person(id) {
    return this.doc.people.find((person) => person.id === id);
  }

  // Make the elements of all people; `draw` puts them in their places.
  rebuild() {
    const {links, keypoints} = this.project;
    const groups = [];
    this.marks = [];
    // The selected person comes last, over the others.
    const people = [...this.doc.people].sort(
      (a, b) => (a.id === this.selected) - (b.id === this.selected));
    for (const person of people) {
      const isSelected = person.id === this.selected;
      const group = element('g', {
        class: `person${isSelected ? ' selected' : ''}`, 'data-person': person.id});
      for (const {ends, color} of links) {
        if (ends.some((end) => person.keypoints[end][2] === 0)) continue;
        const line = group.appendChild(element('line', {class: 'link', stroke: color}));
        const hit = group.appendChild(element('line', {class: 'hit-link'}));
        this.marks.push(() => {
          const [a, b] = ends.map((end) => this.toScreen(...person.keypoints[end]));
          for (const node of [line, hit]) {
            node.setAttribute('x1', a[0]);
            node.setAttribute('y1', a[1]);
            node.setAttribute('x2', b[0]);
            node.setAttribute('y2', b[1]);
          }
        });
      }
      keypoints.forEach(({name, color}, joint) => {
        const visibility = person.keypoints[joint][2];
        if (visibility === 0 && !isSelected) return;
        const kind = visibility === 0 ? 'absent' : person.fixed[joint] ? 'fixed' : 'free';
        const unsure = isUnsure(person, joint);
        const current = isSelected && joint === this.joint;
        const mark = element('g', {
          class: ['joint', kind, visibility === 1 && 'occluded', unsure && 'unsure',
            current && 'current'].filter(Boolean).join(' '),
          'data-joint': joint, 'data-visibility': visibility});
        mark.style.setProperty('--color', color);
        mark.append(element('circle', {class: 'hit', r: 11}));
        if (unsure) mark.append(element('circle', {class: 'ring', r: 10}));
        if (current) mark.append(element('circle', {class: 'halo', r: 9}));
        const shape = SHAPES[kind]();
        shape.classList.add('shape');
        mark.append(shape);
        const title = element('title');
        title.textContent = name.replaceAll('_', ' ');
        mark.append(title);
        if (current) {
          const text = element('text', {y: 4});
          text.textContent = name.replaceAll('_', ' ');
          mark.append(text);
        }
        group.append(mark);
        const text = mark.querySelector('text');
        this.marks.push(() => {
          const [x, y] = this.toScreen(...person.keypoints[joint]);
          const isRight = x > this.root.clientWidth - 140;
          text?.setAttribute('x', isRight ? -13 : 13);
          text?.setAttribute('text-anchor', isRight ? 'end' : 'start');
          mark.setAttribute('transform', `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
        });
      });
      // Its name is over the other joints.
      group.append(...group.querySelectorAll('.current'));
      groups.push(group);
    }
    this.crossMark = element('path', {class: 'cross', d: 'M-14,0H-3M3,0H14M0,-14V-3M0,3V14'});
    this.overlay.replaceChildren(...groups, this.crossMark);
    this.draw();
  }

  draw() {
    const {scale, x, y} = this.view;
    this.picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.picture.style.imageRendering = scale > 4 ? 'pixelated' : 'auto';
    this.overlay.classList.toggle('hidden', this.hidden);
    this.root.classList.toggle('adding', this.adding);
    for (const place of this.marks) place();
    if (!this.crossMark) return;
    this.crossMark.style.display = this.adding && this.cross ? '' : 'none';
    if (this.cross) {
      const [cx, cy] = this.toScreen(...this.cross);
      this.crossMark.setAttribute('transform', `translate(${cx} ${cy})`);
    }
  }
}
