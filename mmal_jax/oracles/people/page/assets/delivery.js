// How answers leave the page: downloaded, or saved by the program that serves
// it, which then goes on.

const PAUSE = 3000; // milliseconds between looks at the program
let sending = false;
let failure = '';
let isThere = true; // whether the program has answered of late
let newest = round.name; // of its rounds

// How many answers are not as they were last downloaded or saved.
function pending() {
  const before = new Set(state.delivered.split('\n'));
  return lines().split('\n').filter(
      (line) => line && !before.has(line)).length;
}

function fileName() {
  const slug = fold(person).replace(/[^a-z0-9]+/gu, '-').slice(0, 30);
  return `answers_${round.name}_${slug || 'person'}_${state.session}.jsonl`;
}

function download() {
  keepUp();
  const text = lines();
  const link = element('a');
  link.href = URL.createObjectURL(
      new Blob([text], {type: 'application/x-ndjson'}));
  link.download = fileName();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  isSent(text);
  if (!served) delivered(text);
  render();
}

// From here on what is undone has to be taken back, whatever comes of it.
function isSent(text) {
  refresh();
  for (const line of text.split('\n').filter(Boolean)) {
    const {query} = JSON.parse(line);
    if (state.entries[query]) state.entries[query].sent = true;
  }
  keep();
}

function delivered(text) {
  refresh();
  state.delivered = text;
  keep();
}

async function save() {
  const text = lines();
  if (sending || text === state.delivered) return;
  const whose = person;
  sending = true;
  isSent(text);
  try {
    const response = await fetch(`answers/${state.session}`, {
      method: 'POST', body: text,
      headers: {'Content-Type': 'application/x-ndjson'},
      signal: AbortSignal.timeout(20000)});
    failure = response.ok ? '' : await response.text();
    hear(true);
    if (response.ok && person === whose) {
      delivered(text);
      take(await response.json());
    }
  } catch {
    hear(false);
    failure = 'the program does not answer, and is tried again';
  }
  sending = false;
  showKept();
}

async function look() {
  try {
    const response = await fetch('status', {signal: AbortSignal.timeout(20000)});
    if (response.ok) take(await response.json());
    hear(true);
  } catch {
    hear(false); // Answers are kept here meanwhile.
  }
}

function hear(isAnswer) {
  if (isThere === isAnswer) return;
  isThere = isAnswer;
  if (!byId('done').hidden) finish();
}

// What the program says: which answers it has used, or cannot use yet, and its
// newest round.
function take(status) {
  const before = JSON.stringify([newest, used.size, disputes]);
  used = new Set(status.used);
  disputes = status.disputes;
  newest = status.round;
  if (JSON.stringify([newest, used.size, disputes]) !== before) render();
  if (status.round !== round.name && questions.every(isDone) && !pending()) {
    location.replace(`../${status.round}/`);
  }
}

async function tick() {
  if (!state) return;
  keepUp();
  await (lines() === state.delivered ? look() : save());
}

function changed() {
  if (served) save();
  showKept();
}

function showKept() {
  if (!state) return;
  const left = pending();
  const kept = byId('kept');
  const isWrong = failure !== '' || !keeps;
  kept.classList.toggle('wrong', isWrong);
  kept.setAttribute('aria-live', isWrong ? 'polite' : 'off');
  byId('download').hidden = served && !failure;
  if (served) {
    kept.textContent = failure ? `Not saved: ${failure}` :
        left ? 'Saving …' : 'Saved';
  } else if (!keeps) {
    kept.textContent = 'This browser keeps nothing: download before you close';
  } else {
    kept.replaceChildren(...(left ?
      [element('span', 'wide', 'Kept here, '), `${left} not downloaded`] :
      [state.delivered ? 'Downloaded' : 'Kept in this browser']));
  }
}

if (served) setInterval(tick, PAUSE);
window.addEventListener('beforeunload', (event) => {
  // Whether a download has ended well, no page can know.
  if (state && !keeps && (served ? pending() : lines())) event.preventDefault();
});
