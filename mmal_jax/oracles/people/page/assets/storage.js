// What a person has answered, kept in the browser with every answer.
//
// The key names the page (no other has its mark) and the person. A session is
// what one browser knows of one person: files of answers carry its name, so
// that none takes the place of another's. Other tabs of this person may have
// written there, and other pages of this disk: of an answer the later change
// holds, and what is no state of this page is put aside.
//
// Two people may share a browser: who answers is a tab's, and only where one
// person alone was ever here does a new tab not ask.

const PREFIX = `mmal_jax/${round.id}/`;
const USUAL = 'mmal_jax/person';
let keeps = true; // whether the browser keeps anything
let person = '';
let state = null;
let known = null; // the state as it was last read or written, as a text

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    keeps = false;
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
    keeps = true;
  } catch {
    keeps = false; // it is full, or forbidden
  }
}

// Of this tab alone; null where the browser forbids that.
function ofTab(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function writeOfTab(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Then the tab asks again who answers, if it has to.
  }
}

// Spellings that the reader of the answers takes for one person.
function folded(name) {
  return name.normalize('NFKC').trim().replace(/\s+/gu, ' ').toLowerCase();
}

function keyOf(name) {
  return `${PREFIX}person/${folded(name)}`;
}

function fresh() {
  const numbers = crypto.getRandomValues(new Uint8Array(8));
  const session = Array.from(
      numbers, (number) => number.toString(16).padStart(2, '0')).join('');
  return {session, entries: {}, history: [], delivered: ''};
}

function load(name) {
  person = name;
  write(USUAL, name);
  write(`${PREFIX}last`, name);
  // A run that goes on, in this tab, does not ask anew who answers.
  writeOfTab(`${PREFIX}last`, name);
  if (served) writeOfTab(USUAL, name);
  state = fresh();
  known = null;
  refresh();
  const left = ofName();
  if (left?.person === name && stateOf(left.text) &&
      refresh(left.text)) keep();
  leaveInName();
  // The program may have lost what it was sent: it is sent once more.
  if (served) state.delivered = '';
}

// Takes what is kept, and says whether that is new: a tab may have slept while
// another one of this person took answers.
function refresh(text = read(keyOf(person))) {
  if (text === null || text === known) return false;
  known = text;
  const found = stateOf(text);
  if (found === null) {
    write(`${keyOf(person)}/damaged`, text);
    return false;
  }
  let isMore = false;
  for (const [query, mine] of Object.entries(state.entries)) {
    const theirs = found.entries[query];
    if (!theirs || theirs.at < mine.at) {
      found.entries[query] = mine;
      isMore = true;
    }
  }
  state = found;
  // What was written there was late, and has taken the place of more.
  if (isMore) keep();
  return true;
}

function keep() {
  known = JSON.stringify(state);
  write(keyOf(person), known);
  leaveInName();
}

// A busy browser may show a page that is reloaded a store of a while ago, or it
// has none. The name of a window is the tab's, and is there at once.
function leaveInName() {
  window.name = JSON.stringify(
      {page: round.id, person, text: JSON.stringify(state)});
}

// What the page, before it was reloaded, has left in the name of its window.
function ofName() {
  try {
    const left = JSON.parse(window.name);
    return left.page === round.id && typeof left.person === 'string' &&
        typeof left.text === 'string' ? left : null;
  } catch {
    return null;
  }
}

function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEntry(value) {
  return isRecord(value) && isRecord(value.chosen) && isRecord(value.why) &&
      Number.isFinite(value.at) && Object.entries(value.chosen).every(
      ([modality, number]) => others.includes(modality) && (number === null ||
          Object.hasOwn(round.items[modality], number)));
}

function isStep(value) {
  return Array.isArray(value) && value.length > 0 && value.every((part) =>
    Array.isArray(part) && questions.some(({query}) => query === part[0]) &&
      (part[1] === null || isEntry(part[1])));
}

// The state that a text holds; null if it holds none of this page.
function stateOf(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return null;
  }
  const isSound = isRecord(found) && /^[0-9a-f]{16}$/u.test(found.session) &&
      isRecord(found.entries) && Object.values(found.entries).every(isEntry) &&
      Array.isArray(found.history) && found.history.every(isStep) &&
      typeof found.delivered === 'string';
  return isSound ? found : null;
}

function usualPerson() {
  return read(`${PREFIX}last`) ?? read(USUAL) ?? '';
}

// Who answers, where that need not be asked; else null.
function knownPerson() {
  const here = ofName()?.person ?? ofTab(`${PREFIX}last`);
  return here ?? (served ? ofTab(USUAL) : null) ?? (
    peopleHere().size > 1 ? null :
      read(`${PREFIX}last`) ?? (served ? read(USUAL) : null));
}

// All who have answered, or have said that they will, in this browser.
function peopleHere() {
  const names = [read(`${PREFIX}last`), read(USUAL)].filter(Boolean);
  if (keeps) {
    for (const key of Object.keys(localStorage)) {
      const of = /^mmal_jax\/[^/]+\/person\/(.*)$/su.exec(key);
      if (of && !key.endsWith('/damaged')) names.push(of[1]);
    }
  }
  return new Set(names.map(folded));
}

// What is wrong with a name, or nothing: the reader needs one person's.
function wrongWith(name) {
  if (!/[\p{L}\p{N}]/u.test(name)) return 'Please give a name or an e-mail.';
  if ([...name].length > round.name_letters) {
    return `At most ${round.name_letters} letters, please.`;
  }
  if (name.normalize('NFKC').split('@').length > 2) {
    return 'One person at a time.';
  }
  if (/^[[({]/u.test(name)) return 'Please begin with a letter or a number.';
  return '';
}
