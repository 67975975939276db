// The list of images. Only the rows that are seen exist, whatever its length.

const HEIGHT = 28;
const KINDS = ['new', 'begun', 'done'];
const WORDS = ['not begun', 'begun', 'done'];

export class ImageRows {
  constructor(project, open) {
    this.project = project;
    this.open = open;
    this.current = -1;
    this.rows = document.getElementById('rows');
    this.search = document.getElementById('search');
    this.which = document.getElementById('which');
    this.sheet = this.rows.appendChild(document.createElement('div'));
    this.rows.addEventListener('scroll', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.rows);
    for (const input of [this.search, this.which]) {
      input.addEventListener('input', () => this.filter());
    }
    this.rows.addEventListener('click', (event) => {
      const row = event.target.closest('[data-index]');
      if (row) this.open(Number(row.dataset.index));
    });
    this.filter();
  }

  isListed(index) {
    const {names, progress} = this.project;
    const which = this.which.value;
    const kind = KINDS[progress[index]];
    if (which === 'open' ? kind === 'done' : which !== 'all' && which !== kind) return false;
    return names[index].toLowerCase().includes(this.search.value.trim().toLowerCase());
  }

  filter() {
    this.listed = this.project.names.map((_, index) => index)
      .filter((index) => this.isListed(index));
    this.sheet.style.height = `${this.listed.length * HEIGHT}px`;
    this.draw();
  }

  // The listed image `by` places from the present one, or undefined.
  neighbor(by) {
    const here = this.listed.indexOf(this.current);
    if (here >= 0) return this.listed[here + by];
    return by > 0 ? this.listed.find((index) => index > this.current)
      : this.listed.filter((index) => index < this.current).pop();
  }

  // The next image that is not done, or undefined.
  nextOpen() {
    const {progress} = this.project;
    const isOpen = (kind, index) => kind !== 2 && index > this.current;
    const found = progress.findIndex(isOpen);
    const any = found >= 0 ? found : progress.findIndex((kind) => kind !== 2);
    return any < 0 || any === this.current ? undefined : any;
  }

  show(index) {
    this.current = index;
    const place = this.listed.indexOf(index);
    const top = place * HEIGHT;
    const {scrollTop, clientHeight} = this.rows;
    if (place >= 0 && (top < scrollTop || top + HEIGHT > scrollTop + clientHeight)) {
      this.rows.scrollTop = top - clientHeight / 2;
    }
    this.draw();
  }

  mark(name, kind) {
    this.project.progress[this.project.names.indexOf(name)] = kind;
    this.draw();
  }

  draw() {
    const {names, progress} = this.project;
    const first = Math.max(0, Math.floor(this.rows.scrollTop / HEIGHT) - 5);
    const last = Math.ceil((this.rows.scrollTop + this.rows.clientHeight) / HEIGHT) + 5;
    const rows = this.listed.slice(first, last).map((index, offset) => {
      const row = document.createElement('div');
      row.className = `row ${KINDS[progress[index]]}`;
      row.id = `row-${index}`;
      row.dataset.index = index;
      row.style.top = `${(first + offset) * HEIGHT}px`;
      row.title = `${names[index]} (${WORDS[progress[index]]})`;
      row.setAttribute('role', 'option');
      row.setAttribute('aria-label', row.title);
      row.setAttribute('aria-selected', index === this.current);
      // The end of a path says more than its start.
      const slash = names[index].lastIndexOf('/') + 1;
      const name = document.createElement('span');
      name.textContent = names[index].slice(slash);
      row.append(document.createElement('i'), name);
      if (slash) {
        const folder = document.createElement('small');
        folder.textContent = names[index].slice(0, slash - 1);
        row.append(folder);
      }
      return row;
    });
    this.sheet.replaceChildren(...rows);
    this.rows.setAttribute('aria-activedescendant', `row-${this.current}`);
    const done = progress.filter((kind) => kind === 2).length;
    const bar = document.getElementById('progress');
    [bar.value, bar.max] = [done, names.length];
    document.getElementById('count').textContent =
      `${done.toLocaleString('en')} of ${names.length.toLocaleString('en')} done`;
  }
}
