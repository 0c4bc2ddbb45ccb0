// Answers: how they are given, undone, and written down.
//
// An entry has by modality what was chosen (null: nothing) and why, whether the
// person is sure, whether it was only skipped, when it was last changed, and
// whether an answer was ever sent. One that is undone keeps its entry: where an
// answer was sent before, a line has to take it back.

const NONE_OF_THESE = 'none of these';
const NO_COUNTERPART = 'no counterpart';
const MOST_STEPS = 1000; // that can be undone
let used = new Set(); // questions whose answers the run has taken for good
let disputes = {}; // by question, why its answer is not taken: see DISPUTES
const DOUBT = 'in doubt';
const DISPUTES = {
  open: 'people answer this differently: look again, or talk about it',
  [DOUBT]: 'in doubt, as another question has this answer, too: choose it ' +
      'again if it is right',
  'perhaps one person': 'it is not clear who has answered this: tell those ' +
      'who run the program',
};

function entryOf(question) {
  return Object.hasOwn(state.entries, question.query) ?
      state.entries[question.query] : null;
}

function chosenOf(question, modality) {
  const entry = entryOf(question);
  return entry && Object.hasOwn(entry.chosen, modality) ?
      entry.chosen[modality] : undefined;
}

function isAnswered(question) {
  return others.every((other) => chosenOf(question, other) !== undefined);
}

function isSkipped(question) {
  return !isAnswered(question) && Boolean(entryOf(question)?.skipped);
}

function isUsed(question) {
  return used.has(question.query);
}

function disputeOf(question) {
  const state = Object.hasOwn(disputes, question.query) ?
      disputes[question.query] : null;
  return !isUsed(question) && Object.hasOwn(DISPUTES, state) ? state : null;
}

function isOpen(question) {
  return !isAnswered(question) && !isSkipped(question) && !isUsed(question);
}

function isDone(question) {
  return isAnswered(question) || isUsed(question);
}

// Changes entries in one step, which is undone as one.
function change(changed, edit) {
  refresh();
  const step = changed.map((question) => [
    question.query, structuredClone(entryOf(question))]);
  for (const question of changed) {
    const entry = entryOf(question) ?? blank();
    edit(entry, question);
    follow(question.query, entry);
  }
  state.history.push(step);
  state.history = state.history.slice(-MOST_STEPS);
  keep();
}

function blank() {
  return {chosen: {}, why: {}, sure: false, skipped: false, sent: false, at: 0};
}

// Puts an entry in the place of the one before, later than that by any clock.
function follow(query, entry) {
  const before = state.entries[query];
  entry.at = Math.max(Date.now() / 1000, (before?.at ?? 0) + 0.001);
  entry.sent ||= Boolean(before?.sent);
  state.entries[query] = entry;
}

// Answers a part; sure, with all questions that have the same counterpart.
function choose(question, modality, number, why, isSure, same) {
  change([question, ...same], (entry, changed) => {
    if (changed === question) {
      entry.chosen[modality] = number;
      delete entry.why[modality];
      if (why) entry.why[modality] = why;
      entry.skipped = false;
    }
    entry.sure = isSure;
  });
}

function skip(question) {
  change([question], (entry) => {
    entry.chosen = {};
    entry.why = {};
    entry.sure = false;
    entry.skipped = true;
  });
}

// The question of the last step, which is as before it; null without one.
function undo() {
  refresh();
  const step = state.history.at(-1);
  if (!step || step.some(([query]) => used.has(query))) return null;
  state.history.pop();
  for (const [query, before] of step) follow(query, before ?? blank());
  keep();
  return questions.find((question) => question.query === step[0][0]);
}

// Other questions with this counterpart. The run takes that for a slip, unless
// it is the likeliest of each of them, or people say that they are sure.
function sharing(question, modality, number) {
  const same = questions.filter((other) => other !== question &&
      chosenOf(other, modality) === number);
  const slips = [question, ...same].some(
      (one) => one.likely[modality][0] !== number);
  return slips ? same : [];
}

function reasonOf(entry) {
  const why = others.filter((other) => Object.hasOwn(entry.why, other));
  return others.length === 1 ? entry.why[others[0]] :
      why.map((other) => `${other}: ${entry.why[other]}`).join('; ');
}

// The JSON lines that the run reads.
function lines() {
  const records = [];
  for (const question of questions) {
    const entry = entryOf(question);
    const record = {query: question.query, annotator: person};
    if (isAnswered(question)) {
      record.answer = Object.fromEntries(others.map((other) => [
        other, entry.chosen[other] === null ? null :
            {item: entry.chosen[other]}]));
      const reason = reasonOf(entry);
      if (reason) record.reason = reason;
      if (entry.sure) record.confirmed = true;
    } else if (isSkipped(question) && round.skip_is_refusal) {
      record.answer = null;
      record.reason = 'skipped';
    } else if (entry?.sent) {
      record.withdrawn = true;
    } else {
      continue;
    }
    record.changed = Number(entry.at.toFixed(3));
    records.push(JSON.stringify(record) + '\n');
  }
  return records.join('');
}
