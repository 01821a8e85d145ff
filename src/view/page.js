// The live page of nslab. It keeps no state of the lab: each moment is asked for, and drawn whole.
'use strict';

const token = new URLSearchParams(location.search).get('token') || '';
const $ = id => document.getElementById(id);

/** The moment that is looked at, the range of steps, and what is chosen. */
const at = { step: 0, first: 0, last: 0, isLive: true, chosen: null, tree: null, before: null };
/** Letters by namespace, so that one keeps its colour whatever moment is looked at. */
const letters = new Map();
const founders = new Map();
let words = { verbs: [], kinds: [] };
let lesson = null;

function url(path, query = {}) {
  return path + '?' + new URLSearchParams({ ...query, token });
}

async function ask(path, query) {
  const reply = await fetch(url(path, query));
  if (!reply.ok) throw new Error((await reply.text()).trim());
  return reply;
}

async function tell(path, body) {
  const reply = await fetch(url(path), { method: 'POST', body });
  if (!reply.ok) throw new Error((await reply.text()).trim());
  return reply.json();
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---- The matrix

/** What the tasks of a tree look like: rows in the order of the tree, with what each has of each kind. */
function rowsOf(tree) {
  const byPid = new Map(tree.tasks.map(task => [task.pid, task]));
  const below = new Map();
  const tops = [];
  for (const task of tree.tasks) {
    const above = task.tgid !== task.pid ? task.tgid : task.ppid;
    if (!byPid.has(above)) tops.push(task);
    else if (below.has(above)) below.get(above).push(task);
    else below.set(above, [task]);
  }
  const rows = [];
  const open = tops.reverse().map(task => [task, 0]);
  while (open.length) {
    const [task, depth] = open.pop();
    rows.push({ task, depth });
    for (const child of (below.get(task.pid) || []).slice().reverse()) open.push([child, depth + 1]);
  }
  return rows;
}

function nsByText(tree) {
  return new Map(tree.namespaces.map(ns => [`${ns.type}:[${ns.inum}]`, ns]));
}

/** The initial namespaces: of each kind the oldest. */
function initialOf(tree) {
  const oldest = new Map();
  for (const ns of tree.namespaces) {
    const other = oldest.get(ns.type);
    if (!other || ns.ns_id < other.ns_id) oldest.set(ns.type, ns);
  }
  return new Set([...oldest.values()].map(ns => ns.ns_id));
}

/** Gives letters to namespaces that are shared: all that a task was the first to have get the one of that task. */
function giveLetters(tree, rows, named, initial) {
  const having = new Map();
  for (const { task } of rows) {
    for (const text of new Set(Object.values(task.ns))) {
      const ns = named.get(text);
      if (!ns || initial.has(ns.ns_id)) continue;
      if (having.has(ns.ns_id)) having.get(ns.ns_id).push(task.pid);
      else having.set(ns.ns_id, [task.pid]);
    }
  }
  for (const [id, pids] of having) {
    if (pids.length < 2 || letters.has(id)) continue;
    if (!founders.has(pids[0])) founders.set(pids[0], founders.size);
    letters.set(id, founders.get(pids[0]));
  }
  return having;
}

function letterOf(index) {
  let text = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) text = String.fromCharCode(65 + rest % 26) + text;
  return text;
}

function colour(index) {
  const [saturation, lightness] = [[70, 74], [55, 64], [85, 82]][Math.floor(index / 12) % 3];
  return `hsl(${(index * 137.508 + 205) % 360} ${saturation}% ${lightness}%)`;
}

/** What stands in a cell, as data: equal cells are drawn equal. */
function cellOf(task, kind) {
  const own = task.ns[kind] || null;
  const next = task.ns[`${kind}_for_children`] || null;
  return { own, next: next && next !== own ? next : null };
}

function drawMatrix() {
  const { tree, before } = at;
  const kinds = words.kinds;
  const rows = rowsOf(tree);
  const named = nsByText(tree);
  const initial = initialOf(tree);
  const having = giveLetters(tree, rows, named, initial);
  const was = before && new Map(before.tasks.map(task => [task.pid, task]));
  const head = make('tr', {}, make('th', { scope: 'col', textContent: 'task' }));
  for (const kind of kinds) head.append(make('th', { scope: 'col', textContent: kind }));
  const body = document.createDocumentFragment();
  const changed = [];
  for (const { task, depth } of rows) {
    const old = was && was.get(task.pid);
    const isNew = was && !old;
    const row = make('tr', { className: isNew ? 'new' : '' });
    row.dataset.row = task.pid;
    if (isNew) changed.push(`${task.pid} is new`);
    if (old && old.comm !== task.comm) changed.push(`${task.pid} is ${task.comm} now`);
    if (old && old.state !== task.state) changed.push(`${task.pid} is ${task.state} now`);
    if (old && old.euid !== task.euid) changed.push(`${task.pid} has uid ${task.euid} now`);
    const label = `${task.pid} ${task.comm}${task.state === 'Z' ? ' (dead)' : ''}${task.euid ? ` uid ${task.euid}` : ''}`;
    const button = make('button', { type: 'button', textContent: label, title: label, tabIndex: -1 });
    button.dataset.path = `kernel/task/${task.pid}`;
    button.style.paddingLeft = `${0.3 + Math.min(depth, 8) * 0.7}rem`;
    row.append(make('th', { scope: 'row' }, button));
    for (const kind of kinds) {
      const cell = cellOf(task, kind);
      const isChanged = old && JSON.stringify(cellOf(old, kind)) !== JSON.stringify(cell);
      if (isChanged) changed.push(`${task.pid} ${kind}`);
      row.append(make('td', {}, drawCell(cell, kind, named, initial, having, isChanged)));
    }
    body.append(row);
  }
  const focus = document.activeElement && document.activeElement.dataset.path && $('matrix').contains(document.activeElement)
    ? [document.activeElement.closest('tr').dataset.row, [...document.activeElement.closest('tr').children].indexOf(document.activeElement.parentNode)] : null;
  $('matrix').querySelector('thead').replaceChildren(head);
  $('matrix').querySelector('tbody').replaceChildren(body);
  rove(focus);
  const gone = was ? [...was.values()].filter(task => !tree.tasks.some(now => now.pid === task.pid)) : [];
  $('gone').textContent = gone.length ? `Gone in this step: ${gone.map(task => `${task.pid} ${task.comm}`).join(', ')}` : '';
  $('summary').textContent = `${tree.tasks.length} tasks, ${tree.namespaces.length} namespaces, ${(tree.nsproxies || []).length} nsproxies`;
  drawChoice();
  return changed.concat(gone.map(task => `${task.pid} is gone`));
}

function drawCell(cell, kind, named, initial, having, isChanged) {
  const ns = cell.own && named.get(cell.own);
  const button = make('button', { type: 'button', className: 'cell', tabIndex: -1 });
  if (!ns) {
    button.classList.add('none');
    button.title = `${kind}: none, the task is dead`;
    button.disabled = !cell.own;
  } else {
    const tasks = ns.tasks.length;
    const parts = [`${cell.own}: ${tasks} task${tasks === 1 ? '' : 's'}, count ${ns.count}`];
    if (ns.pins) parts.push(`pins ${ns.pins}`);
    if (initial.has(ns.ns_id)) {
      button.classList.add('initial');
      parts.push('initial');
    } else if (letters.has(ns.ns_id)) {
      button.classList.add('shared');
      button.textContent = letterOf(letters.get(ns.ns_id));
      button.style.setProperty('--tint', colour(letters.get(ns.ns_id)));
    } else {
      button.classList.add('own');
    }
    if (cell.next) {
      button.classList.add('for');
      const next = named.get(cell.next);
      if (next && letters.has(next.ns_id)) button.style.setProperty('--next', colour(letters.get(next.ns_id)));
      parts.push(`for children ${cell.next}`);
    }
    button.title = parts.join(', ');
    button.dataset.path = `kernel/ns/${ns.type}/${ns.inum}`;
  }
  button.setAttribute('aria-label', button.title);
  if (isChanged) button.classList.add('changed');
  return button;
}

/** One cell of the matrix can be reached by Tab, the others by arrows from it. */
function rove(place) {
  const table = $('matrix').querySelector('tbody');
  let target = null;
  if (place) {
    const row = [...table.rows].find(row => row.dataset.row === place[0]) || table.rows[0];
    target = row && row.children[Math.max(place[1], 0)];
  }
  const button = (target || table.querySelector('th')).querySelector('button');
  button.tabIndex = 0;
  if (place) button.focus({ preventScroll: true });
}

$('matrix').addEventListener('keydown', event => {
  const cell = event.target.closest('tbody td, tbody th');
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [-1e6, 0], End: [1e6, 0] }[event.key];
  if (!cell || !move) return;
  event.preventDefault();
  const rows = [...cell.closest('tbody').rows];
  const clamp = (number, most) => Math.min(Math.max(number, 0), most);
  const row = rows[clamp(rows.indexOf(cell.parentNode) + move[0], rows.length - 1)];
  const next = row.children[clamp([...cell.parentNode.children].indexOf(cell) + move[1], row.children.length - 1)];
  for (const button of $('matrix').querySelectorAll('tbody [tabindex="0"]')) button.tabIndex = -1;
  const button = next.querySelector('button');
  button.tabIndex = 0;
  button.focus();
});

// ---- The panel

const EARLY = ['count', 'holders', 'pins', 'inum'];

async function drawChoice() {
  const path = at.chosen;
  for (const button of $('matrix').querySelectorAll('tbody button')) {
    button.classList.toggle('same', button.classList.contains('cell') && !!path && button.dataset.path === path);
  }
  for (const row of $('matrix').querySelectorAll('tbody tr')) {
    row.classList.toggle('chosen', `kernel/task/${row.dataset.row}` === path);
  }
  if (!path) return;
  const step = at.step;
  let content;
  try {
    const object = await (await ask('/object', { step, path })).json();
    content = object ? fieldsOf(object.fields) : make('p', { className: 'dim', textContent: 'It does not exist at this moment.' });
  } catch (error) {
    content = fromTree(path) || make('p', { className: 'dim', textContent: String(error.message) });
  }
  if (at.chosen === path && at.step === step) {
    $('object').replaceChildren(make('h3', { textContent: path.replace(/^kernel\//, '') }), content);
  }
}

function fieldsOf(fields) {
  const list = make('dl');
  const rank = field => (EARLY.indexOf(field.name) + 1) || EARLY.length + 1;
  for (const field of fields.slice().sort((a, b) => rank(a) - rank(b))) {
    const value = make('dd');
    if (field.to && field.to.startsWith('kernel/')) {
      value.append(make('button', { type: 'button', className: 'link', textContent: field.to.replace(/^kernel\//, '') }));
      value.firstChild.dataset.path = field.to;
    } else if (field.fields) value.append(field.fields.length ? fieldsOf(field.fields) : '(empty)');
    else value.textContent = field.link || field.text || field.error || '';
    list.append(make('dt', { textContent: field.name }), value);
  }
  return list;
}

/** What the tree says of an object whose files are gone: a past moment of a mounted lab. */
function fromTree(path) {
  const [, what, kind, number] = path.split('/');
  const found = what === 'task' ? at.tree.tasks.find(task => String(task.pid) === kind)
    : what === 'nsproxy' ? at.tree.nsproxies.find(nsproxy => String(nsproxy.index) === kind)
    : at.tree.namespaces.find(ns => ns.type === kind && String(ns.inum) === number);
  if (!found) return null;
  const text = value => typeof value === 'object' && value ? JSON.stringify(value) : String(value);
  return fieldsOf(Object.entries(found).map(([name, value]) => ({ name, text: text(value) })));
}

function choose(path) {
  at.chosen = path;
  const task = /^kernel\/task\/(\d+)$/.exec(path);
  if (task) $('pid').value = task[1];
  drawChoice();
  if ($('part').value === 'chosen') drawObjects();
}

document.addEventListener('click', event => {
  const button = event.target.closest && event.target.closest('[data-path]');
  if (button) choose(button.dataset.path);
});

// ---- The picture of the objects

async function drawObjects() {
  const part = $('part').value;
  if (part === 'none') return $('picture').replaceChildren();
  const query = { step: at.step };
  const task = /^kernel\/task\/(\d+)$/.exec(at.chosen || '');
  const ns = /^kernel\/ns\/\w+\/(\d+)$/.exec(at.chosen || '');
  if (part === 'chosen' && task) query.pid = task[1];
  if (part === 'chosen' && ns) query.ns = ns[1];
  let drawn;
  try {
    drawn = await (await ask('/graph', query)).text();
  } catch (error) {
    return $('picture').replaceChildren(make('p', { className: 'dim', textContent: error.message }));
  }
  // In a tree of its own: the picture has a style of its own.
  const host = make('div');
  const root = host.attachShadow({ mode: 'open' });
  root.innerHTML = drawn;
  root.addEventListener('click', event => {
    const place = event.target.closest('[data-pid],[data-ns]');
    if (!place) return;
    const link = /^(\w+):\[(\d+)\]$/.exec(place.dataset.ns || '');
    choose(link ? `kernel/ns/${link[1]}/${link[2]}` : `kernel/task/${place.dataset.pid}`);
  });
  $('picture').replaceChildren(host);
}
$('part').addEventListener('change', drawObjects);

// ---- The time line

/** The moments asked for last: what is past stays as it is. */
const moments = new Map();
function moment(step) {
  if (!moments.has(step)) {
    const state = ask('/state', { step }).then(reply => reply.json());
    moments.set(step, state);
    state.catch(() => moments.delete(step));
    if (moments.size > 8) moments.delete(moments.keys().next().value);
  }
  return moments.get(step);
}

/** Shows a moment; one that is on its way already is not asked for again. */
let coming = null;
function show(step) {
  const number = Math.min(Math.max(step, at.first), at.last);
  if (!coming || coming.number !== number) {
    const mine = { number };
    coming = mine;
    mine.shown = draw(number, () => coming === mine).finally(() => {
      if (coming === mine) coming = null;
    });
  }
  return coming.shown;
}

async function draw(number, isWanted) {
  if (at.tree && at.step === number) {
    at.isLive = number >= at.last;
    return drawLesson();
  }
  const [now, before] = await Promise.all([moment(number), number > at.first ? moment(number - 1) : null]);
  if (!isWanted()) return;
  const { about } = now;
  Object.assign(at, { step: number, last: Math.max(at.last, about.last), tree: now.tree, before: before && before.tree });
  at.isLive = number >= at.last;
  const changed = drawMatrix();
  drawWhere(about, changed);
  drawTasks();
  drawLesson();
  if ($('part').value !== 'none') drawObjects();
  document.body.dataset.step = number;
}

function drawWhere(about, changed) {
  const bar = $('time');
  Object.assign(bar, { min: at.first, max: at.last, value: at.step });
  bar.setAttribute('aria-valuetext', `step ${at.step}: ${about.line || 'the beginning'}`);
  $('where').textContent = `Step ${at.step} of ${at.last}`;
  document.body.classList.toggle('past', !at.isLive);
  $('first').disabled = $('back').disabled = at.step <= at.first;
  $('now').disabled = $('forth').disabled = at.step >= at.last;
  const said = make('span');
  if (about.line) {
    said.append(make('code', { textContent: about.line }));
    if (about.answer) said.append(' → ', make('code', { className: about.answer.ok ? 'ok' : 'refused', textContent: about.answer.text || 'done' }));
    if (changed.length) said.append(make('span', { className: 'dim', textContent: `  Changed: ${changed.slice(0, 12).join(', ')}${changed.length > 12 ? ' …' : ''}` }));
  } else said.append(make('span', { className: 'dim', textContent: 'The beginning.' }));
  $('said').replaceChildren(said);
  $('trace').textContent = about.trace || 'Nothing happened in the kernel.';
}

$('time').addEventListener('input', event => show(Number(event.target.value)));
$('first').addEventListener('click', () => show(at.first));
$('back').addEventListener('click', () => show(at.step - 1));
$('forth').addEventListener('click', () => show(at.step + 1));
$('now').addEventListener('click', () => show(at.last));

function follow() {
  const events = new EventSource(url('/events'));
  events.onmessage = event => {
    const { first, last } = JSON.parse(event.data);
    const isNew = last !== at.last;
    Object.assign(at, { first, last });
    if (!isNew) return;
    if (at.isLive) show(last);
    else {
      $('time').max = last;
      $('where').textContent = `Step ${at.step} of ${last}`;
      $('now').disabled = $('forth').disabled = false;
    }
  };
  events.onerror = () => { $('where').textContent = 'The lab is out of reach.'; };
}

// ---- The lesson

async function loadLesson() {
  lesson = await (await ask('/lesson')).json();
  if (!lesson) return;
  document.body.classList.add('has-lesson');
  $('lesson').hidden = false;
  $('lesson-head').textContent = lesson.name;
}

async function drawLesson() {
  if (!lesson) return;
  lesson = await (await ask('/lesson')).json();
  const items = lesson.parts.map((part, index) => {
    const item = make('li', { className: index < lesson.done ? 'done' : '' });
    for (const text of part.text) item.append(make('p', { textContent: text }));
    const code = make(index < lesson.done ? 'button' : 'code', {});
    if (index < lesson.done) {
      code.type = 'button';
      code.title = `Look at step ${part.step}`;
      code.addEventListener('click', () => show(part.step));
      code.append(make('code', { textContent: part.line }));
      Object.assign(code.style, { border: 0, background: 'none', padding: 0, textAlign: 'left' });
    } else code.textContent = part.line;
    item.append(code);
    return item;
  });
  const isSeen = index => index < lesson.done && lesson.parts[index].step <= at.step;
  const current = lesson.parts.reduce((last, _, index) => (isSeen(index) ? index : last), -1);
  const marked = items[at.isLive ? Math.min(lesson.done, items.length - 1) : Math.max(current, 0)];
  if (marked) {
    marked.classList.add('now');
    marked.setAttribute('aria-current', 'step');
  }
  $('parts').replaceChildren(...items);
  if (marked) $('parts').scrollTop = Math.max(0, marked.offsetTop - $('parts').offsetTop - 80);
  $('progress').textContent = `${lesson.done} of ${lesson.parts.length}`;
  $('next').disabled = $('rest').disabled = lesson.done >= lesson.parts.length;
}

async function advance(path) {
  const answer = await tell(path, '');
  if (!answer.done) say(answer);
  Object.assign(at, { last: answer.last, isLive: true });
  await show(answer.last);
}
$('next').addEventListener('click', () => advance('/next'));
$('rest').addEventListener('click', () => advance('/rest'));

// ---- The command line

function drawTasks() {
  const chosen = $('pid').value || '1';
  const tasks = at.tree.tasks.filter(task => task.state !== 'Z');
  $('pid').replaceChildren(...tasks.map(task => make('option', { value: task.pid, textContent: `${task.pid} ${task.comm}` })));
  $('pid').value = tasks.some(task => String(task.pid) === chosen) ? chosen : '1';
}

function say(answer) {
  $('answer').className = answer.ok ? 'ok' : 'refused';
  $('answer').textContent = answer.text || 'done';
}

const past = { lines: [], at: 0 };

$('command').addEventListener('submit', async event => {
  event.preventDefault();
  const line = $('line').value.trim();
  close();
  if (!line) return;
  past.lines.push(line);
  past.at = past.lines.length;
  try {
    const answer = await tell('/call', `${$('pid').value || 1} ${line}`);
    say(answer);
    if (answer.ok) $('line').value = '';
    at.isLive = true;
    if (answer.last !== at.last || at.step !== answer.last) {
      at.last = Math.max(at.last, answer.last);
      await show(at.last);
    }
  } catch (error) {
    say({ ok: false, text: error.message });
  }
});

/** The word the cursor is in: where it begins, and its text up to the cursor. */
function wordAt(input) {
  const before = input.value.slice(0, input.selectionStart);
  const start = before.lastIndexOf(' ') + 1;
  return { start, text: before.slice(start), verb: before.trimStart().split(/\s+/)[0], isFirst: before.trimStart().indexOf(' ') < 0 };
}

async function candidates() {
  const { text, verb, isFirst } = wordAt($('line'));
  if (isFirst) return words.verbs.filter(known => known.name.startsWith(text) && text).map(known => ({ text: known.name, about: `${known.name} ${known.usage}` }));
  if (text.includes('/')) {
    const paths = await (await ask('/complete', { step: at.last, pid: $('pid').value, word: text })).json();
    return paths.map(path => ({ text: path, about: path }));
  }
  const list = [];
  if (['clone', 'unshare', 'setns'].includes(verb)) for (const kind of words.kinds) list.push({ text: kind, about: kind });
  if (['setns', 'open', 'ioctl'].includes(verb)) {
    for (const ns of at.tree.namespaces) list.push({ text: `${ns.type}:[${ns.inum}]`, about: `${ns.type}:[${ns.inum}]` });
    for (const task of at.tree.tasks) list.push({ text: `pidfd:${task.pid}`, about: `pidfd:${task.pid} ${task.comm}` });
  }
  for (const task of at.tree.tasks) list.push({ text: String(task.pid), about: `${task.pid} ${task.comm}` });
  list.push({ text: 'proc/', about: 'proc/' });
  // After a comma, flags go on.
  const [head, tail] = /^(.*,)?([^,]*)$/.exec(text).slice(1);
  const fits = list.filter(one => one.text.startsWith(tail) && one.text !== tail);
  return fits.map(one => ({ ...one, text: (head || '') + one.text }));
}

let chosenChoice = -1;
function close() {
  $('choices').hidden = true;
  $('line').setAttribute('aria-expanded', 'false');
  $('line').removeAttribute('aria-activedescendant');
  chosenChoice = -1;
}

async function complete() {
  const { verb } = wordAt($('line'));
  const known = words.verbs.find(one => one.name === verb);
  $('usage').textContent = known ? `${known.name} ${known.usage}` : '';
  let found;
  try {
    found = (await candidates()).slice(0, 40);
  } catch (error) {
    found = [];
  }
  const items = found.map((one, index) => {
    const item = make('li', { role: 'option', id: `choice-${index}`, textContent: one.about, title: one.about });
    item.dataset.text = one.text;
    item.setAttribute('aria-selected', 'false');
    item.addEventListener('mousedown', event => { event.preventDefault(); take(one.text); });
    return item;
  });
  $('choices').replaceChildren(...items);
  $('choices').hidden = !items.length;
  $('line').setAttribute('aria-expanded', String(items.length > 0));
  chosenChoice = -1;
}

function take(text) {
  const input = $('line');
  const { start } = wordAt(input);
  const after = input.value.slice(input.selectionStart);
  const end = text.endsWith('/') ? '' : ' ';
  input.value = input.value.slice(0, start) + text + end + after.trimStart();
  const cursor = start + text.length + end.length;
  input.setSelectionRange(cursor, cursor);
  close();
  complete();
}

function mark(index) {
  const items = [...$('choices').children];
  chosenChoice = (index + items.length) % items.length;
  items.forEach((item, at) => item.setAttribute('aria-selected', String(at === chosenChoice)));
  items[chosenChoice].scrollIntoView({ block: 'nearest' });
  $('line').setAttribute('aria-activedescendant', items[chosenChoice].id);
}

$('line').addEventListener('input', complete);
$('line').addEventListener('blur', close);
$('line').addEventListener('keydown', event => {
  const isOpen = !$('choices').hidden;
  const items = $('choices').children;
  if (event.key === 'Escape') close();
  else if (event.key === 'Tab' && isOpen && !event.shiftKey && wordAt($('line')).text) {
    event.preventDefault();
    take(items[Math.max(chosenChoice, 0)].dataset.text);
  } else if (event.key === 'Enter' && isOpen && chosenChoice >= 0) {
    event.preventDefault();
    take(items[chosenChoice].dataset.text);
  } else if (isOpen && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
    event.preventDefault();
    mark(chosenChoice < 0 && event.key === 'ArrowUp' ? items.length - 1 : chosenChoice + (event.key === 'ArrowDown' ? 1 : -1));
  } else if (!isOpen && event.key === 'ArrowUp' && past.at > 0) {
    event.preventDefault();
    $('line').value = past.lines[--past.at];
  } else if (!isOpen && event.key === 'ArrowDown' && past.at < past.lines.length) {
    event.preventDefault();
    $('line').value = past.lines[++past.at] || '';
  }
});

// ---- The beginning

(async () => {
  try {
    words = await (await ask('/words')).json();
    await loadLesson();
    const { about } = await (await ask('/state')).json();
    Object.assign(at, { first: about.first, last: about.last });
    await show(at.last);
    follow();
  } catch (error) {
    $('said').textContent = error.message;
  }
})();
