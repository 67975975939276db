// The people of the image and the joints of the selected one, as lists.

import {isUnsure} from './stage.js';

const VISIBILITIES = ['not labeled', 'hidden', 'visible'];

const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

export const describeJoint = (project, person, joint) => {
  const words = [project.keypoints[joint].name.replaceAll('_', ' '),
    VISIBILITIES[person.keypoints[joint][2]]];
  if (person.fixed[joint]) words.push('fixed');
  if (isUnsure(person, joint)) words.push('unsure');
  return words.join(', ');
};

export class Panel {
  // on: select(person, joint), remove(person), setClass(id)
  constructor(project, on) {
    this.project = project;
    this.on = on;
    this.people = document.getElementById('people');
    this.joints = document.getElementById('joints');
    this.classes = document.getElementById('class');
    for (const {id, name} of project.classes) {
      this.classes.append(make('option', {value: id, textContent: name}));
    }
    this.classes.addEventListener('change', () => on.setClass(Number(this.classes.value)));
    document.getElementById('class-row').hidden = project.classes.length < 2;
  }

  draw(doc, selected, current) {
    document.getElementById('people-title').textContent =
      doc.people.length === 1 ? '1 person' : `${doc.people.length} people`;
    const hasScores = doc.people.some((person) => person.scores);
    for (const id of ['unsure-legend', 'doubtful']) {
      document.getElementById(id).hidden = !hasScores;
    }
    const className = (id) => this.project.classes.find((item) => item.id === id)?.name;
    this.people.replaceChildren(...doc.people.map((person, index) => {
      const row = make('div', {className: 'entry', tabIndex: 0});
      const name = this.project.classes.length > 1 ? className(person.category) : 'Person';
      const labeled = person.keypoints.filter((point) => point[2] > 0).length;
      const unsure = person.keypoints.filter((_, joint) => isUnsure(person, joint)).length;
      const remove = make('button', {className: 'delete', textContent: '✕',
        title: `Delete ${name} ${index + 1}`});
      remove.setAttribute('aria-label', remove.title);
      remove.addEventListener('click', (event) => {
        event.stopPropagation();
        this.on.remove(person.id);
      });
      const count = make('small', {textContent: unsure ? `${unsure} unsure`
        : `${labeled} of ${person.keypoints.length}`});
      count.classList.toggle('unsure', unsure > 0);
      row.append(make('span', {className: 'name', textContent: `${name} ${index + 1}`}),
        count, remove);
      return this.option(row, person.id === selected, () => this.on.select(person.id, null));
    }));
    const person = doc.people.find((one) => one.id === selected);
    document.getElementById('joints-title').textContent =
      person ? 'Joints' : 'Joints: select a person';
    this.classes.disabled = !person;
    if (person) this.classes.value = person.category;
    this.joints.replaceChildren(...(person ? person.keypoints.map((point, joint) => {
      const row = make('div', {className: 'entry', tabIndex: -1});
      const mark = make('i', {className: `mark ${
        point[2] === 0 ? 'absent' : point[2] === 1 ? 'occluded' : ''} ${
        person.fixed[joint] ? 'fixed' : ''}`});
      mark.style.setProperty('--color', this.project.keypoints[joint].color);
      const state = make('small');
      const unsure = isUnsure(person, joint);
      state.textContent = point[2] === 0 ? '–' : unsure ? person.scores[joint].toFixed(2)
        : point[2] === 1 ? 'hidden' : '';
      state.classList.toggle('unsure', unsure && point[2] > 0);
      row.append(mark, make('span', {className: 'name',
        textContent: this.project.keypoints[joint].name.replaceAll('_', ' ')}), state);
      row.setAttribute('aria-label', describeJoint(this.project, person, joint));
      row.title = row.getAttribute('aria-label');
      return this.option(row, joint === current, () => this.on.select(person.id, joint));
    }) : []));
    this.joints.querySelector('[aria-selected=true]')?.scrollIntoView({block: 'nearest'});
  }

  option(row, isSelected, choose) {
    row.setAttribute('role', 'option');
    row.setAttribute('aria-selected', isSelected);
    row.addEventListener('click', choose);
    return row;
  }
}
