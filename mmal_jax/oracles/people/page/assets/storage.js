// What a person has answered, kept in the browser with every answer.
//
// The key names run and round (by the page's digest) and the person. A session
// is what one browser knows of one person: files of answers carry its name, so
// that none takes the place of another's.

const PREFIX = `mmal_jax/${round.id}/`;
let keeps = true; // whether the browser keeps anything
let person = '';
let state = null;

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
  write('mmal_jax/person', name);
  write(`${PREFIX}last`, name);
  reload();
}

// Takes what is kept: at the start, or when another tab has answered.
function reload() {
  const text = read(keyOf(person));
  state = fresh();
  if (text === null) return;
  try {
    state = {...state, ...JSON.parse(text)};
  } catch {
    write(`${keyOf(person)}/damaged`, text);
  }
}

function keep() {
  write(keyOf(person), JSON.stringify(state));
}

function lastPerson() {
  return read(`${PREFIX}last`);
}

function usualPerson() {
  return read('mmal_jax/person') ?? '';
}

// What is wrong with a name, or nothing: the reader needs one person's.
function wrongWith(name) {
  if (!/[\p{L}\p{N}]/u.test(name)) return 'Please give a name or an e-mail.';
  if ((name.match(/@/gu) ?? []).length > 1) return 'One person at a time.';
  return '';
}
