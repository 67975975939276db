// What each key does: the one list for the keyboard and for the help.

// [section, [[names of the key, what it does, matches(event), action], ...]];
// an action waits for the image that is being opened, but for AT_ONCE.
const AT_ONCE = true;

export function keyTable(app) {
  const key = (...names) => (event) =>
    !event.ctrlKey && !event.metaKey && names.includes(event.key.toLowerCase());
  const shifted = (name) => (event) => event.shiftKey && key(name)(event);
  const plain = (name) => (event) => !event.shiftKey && key(name)(event);
  const control = (name, shift = false) => (event) => (event.ctrlKey || event.metaKey)
    && event.shiftKey === shift && event.key.toLowerCase() === name;
  const visibility = (value) => (event) => key(String(value))(event);
  const arrow = (x, y) => (event) => app.nudge(x, y, event.shiftKey ? 10 : 1);
  return [
    ['Images', [
      ['Enter', 'mark as done, go to the next that is not', key('enter'), () => app.finish()],
      ['. or Page down', 'next image', key('.', 'pagedown'), () => app.go(1), AT_ONCE],
      [', or Page up', 'previous image', key(',', 'pageup'), () => app.go(-1), AT_ONCE],
      ['U', 'next image that is not done', key('u'), () => app.goOpen(), AT_ONCE],
      ['Ctrl+S', 'export the COCO file', control('s'), () => app.export()],
    ]],
    ['Joints', [
      ['drag', 'place a joint; the free ones of the person follow'],
      ['Alt+drag', 'move this joint only'],
      ['F', 'switch following off and on', plain('f'), () => app.toggleFollow()],
      ['0 1 2', 'not labeled, hidden, visible', (event) => [0, 1, 2].some((value) =>
        visibility(value)(event)), (event) => app.setVisibility(Number(event.key))],
      ['V', 'next of these', key('v'), () => app.setVisibility(null)],
      ['S, A', 'next, previous joint', plain('s'), () => app.nextJoint(1)],
      [null, '', plain('a'), () => app.nextJoint(-1)],
      ['arrows', 'move by a pixel; with Shift by 10', key('arrowleft'), arrow(-1, 0)],
      [null, '', key('arrowright'), arrow(1, 0)],
      [null, '', key('arrowup'), arrow(0, -1)],
      [null, '', key('arrowdown'), arrow(0, 1)],
      ['Q', 'most doubtful joint of the image, then the next', key('q'), () => app.doubtful()],
      ['L', 'fix or release the joint', plain('l'), () => app.toggleFixed()],
      ['Shift+L', 'fix or release all joints of the person', shifted('l'), () => app.toggleAllFixed()],
    ]],
    ['People', [
      ['P, Shift+P', 'next, previous person', plain('p'), () => app.nextPerson(1)],
      [null, '', shifted('p'), () => app.nextPerson(-1)],
      ['N', 'add a person: click on it, or arrows and Enter', key('n'), () => app.startAdding()],
      ['Delete', 'delete the person', key('delete', 'backspace'), () => app.remove()],
      ['R', 'let the free joints follow again', key('r'), () => app.refineSelected()],
      ['M', 'swap left and right', key('m'), () => app.mirror()],
      ['C', 'next class', key('c'), () => app.nextClass()],
      ['Esc', 'cancel, select nothing', key('escape'), () => app.escape()],
    ]],
    ['Changes', [
      ['Ctrl+Z', 'undo', control('z'), () => app.step('undo')],
      ['Ctrl+Y', 'redo; Ctrl+Shift+Z, too', control('y'), () => app.step('redo')],
      [null, '', control('z', true), () => app.step('redo')],
    ]],
    ['View', [
      ['wheel, + −', 'zoom', key('+', '='), () => app.stage.zoom(1.25)],
      [null, '', key('-'), () => app.stage.zoom(0.8)],
      ['drag the image', 'pan; so does the middle button'],
      ['Z', 'zoom to the person', key('z'), () => app.zoomToPerson()],
      ['H', 'the whole image', key('h'), () => app.stage.fit()],
      ['X', 'hide or show the poses', key('x'), () => app.toggleHidden()],
      ['?', 'this help', key('?', 'f1'), () => app.help(), AT_ONCE],
    ]],
  ];
}

export function listen(table, app) {
  const rows = table.flatMap(([, entries]) => entries);
  window.addEventListener('keydown', (event) => {
    const {target} = event;
    if (document.querySelector('dialog[open]')) return;
    const typing = target.closest('input, select, textarea');
    if (typing && event.key !== 'Escape') return;
    // Enter presses the button that has the focus.
    if (event.key === 'Enter' && target.closest('button, a')) return;
    if (typing) target.blur();
    if (app.adding(event)) {
      event.preventDefault();
      return;
    }
    const row = rows.find(([, , matches]) => matches?.(event));
    if (!row) return;
    event.preventDefault();
    const act = () => row[3](event);
    if (row[4]) act();
    else app.whenOpen(act);
  });
}

export function describe(table, root) {
  for (const [title, entries] of table) {
    const section = document.createElement('section');
    section.append(Object.assign(document.createElement('h3'), {textContent: title}));
    const list = section.appendChild(document.createElement('dl'));
    for (const [name, text] of entries) {
      if (name === null) continue;
      const dt = document.createElement('dt');
      dt.append(Object.assign(document.createElement('kbd'), {textContent: name}));
      list.append(dt, Object.assign(document.createElement('dd'), {textContent: text}));
    }
    root.append(section);
  }
}
