// Keys and buttons, and the start.

// By the letter, or where a keyboard has none of ours, by its place.
function letterOf(event) {
  if (/^[a-z/]$/iu.test(event.key)) return event.key.toLowerCase();
  const place = /^Key([A-Z])$/u.exec(event.code);
  return place ? place[1].toLowerCase() : event.code === 'Slash' ? '/' : '';
}

// By what is written on the key; else by its place: a row of digits may need
// Shift, or write those of another script. With Shift, "/" may be on a digit.
function digitOf(event) {
  if (/^[0-9]$/u.test(event.key)) return event.key;
  if (letterOf(event)) return null;
  return /^Digit([0-9])$/u.exec(event.code)?.[1] ?? null;
}

function press(id) {
  if (!byId(id).disabled) byId(id).click();
}

function moveFocus(step) {
  const choices = [...byId('choices').querySelectorAll('.choice')];
  const now = choices.indexOf(document.activeElement);
  const next = now < 0 ? (step > 0 ? 0 : choices.length - 1) : now + step;
  choices[Math.max(0, Math.min(next, choices.length - 1))]?.focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
    return;
  }
  if (event.repeat && event.key === 'Enter') {
    event.preventDefault(); // one answer a press, on a button, too
    return;
  }
  if (byId('finder').open) {
    finder.key(event);
    return;
  }
  if (!state || document.querySelector('dialog[open]')) return;
  const digit = digitOf(event);
  const isHere = !byId('main').hidden;
  const letter = letterOf(event);
  const held = {
    ArrowLeft: () => go(place - 1), ArrowRight: () => go(place + 1),
    ArrowUp: () => isHere && moveFocus(-1),
    ArrowDown: () => isHere && moveFocus(1)}[event.key];
  const single = {
    u: () => press('undo'),
    ...(isHere && {n: () => press('none'), c: () => press('never'),
      s: () => press('skip'), '/': () => press('search')})}[letter];
  if (held) {
    held();
  } else if (event.repeat) {
    return; // one answer a press
  } else if (digit !== null && isHere) {
    const number = candidatesOf(question(), part)[(Number(digit) + 9) % 10];
    if (number !== undefined) answer(number);
  } else if (single) {
    single();
  } else {
    return;
  }
  event.preventDefault();
}

function begin(name) {
  load(name);
  failure = '';
  used = new Set();
  disputes = {};
  note('');
  byId('hello').close();
  const open = questions.findIndex(isOpen);
  if (open < 0) finish();
  else go(open);
  if (served) tick();
}

function greet() {
  byId('hello-what').textContent =
      `${counted(questions.length, 'question')}: which ` +
      `${others.join(' and ')} belongs to this ${round.modality}? Answers are ` +
      (served ? 'saved as you give them.' :
          'kept in this browser as you give them; nothing is sent anywhere.');
  byId('name').value = person || usualPerson();
  byId('hello-wrong').textContent = '';
  byId('hello').showModal();
  byId('name').select();
}

function meet() {
  const name = byId('name').value.trim();
  const wrong = wrongWith(name);
  byId('hello-wrong').textContent = wrong;
  if (!wrong) begin(name);
}

document.addEventListener('keydown', onKey);
const clicks = {
  back: () => go(place - 1), forward: () => go(place + 1),
  place: openOverview, person: greet, download, start: meet,
  search: lookElsewhere, none: once(() => answer(null, NONE_OF_THESE)),
  never: once(() => answer(null, NO_COUNTERPART)), skip: leave, undo: takeBack,
};
for (const [id, act] of Object.entries(clicks)) byId(id).onclick = act;
byId('name').onkeydown = (event) => {
  if (event.key === 'Enter' && !event.isComposing) meet();
};
byId('hello').oncancel = (event) => {
  if (!state) event.preventDefault();
};
// A second Escape closes it, whatever the page says.
byId('hello').onclose = () => {
  if (!state) greet();
};

// Another tab of this person may have answered.
function keepUp() {
  if (state && refresh()) render();
}

for (const what of ['pageshow', 'focus']) window.addEventListener(what, keepUp);
window.addEventListener('storage', (event) => {
  // The event may come before what it says can be read.
  if (state && event.key === keyOf(person) && refresh(event.newValue)) render();
});
if (round.skip_is_refusal) byId('skip').title = 'Say that you cannot answer it';

const before = knownPerson();
if (before && !wrongWith(before)) begin(before);
else greet();
