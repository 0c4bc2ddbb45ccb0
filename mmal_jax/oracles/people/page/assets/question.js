// The question on the page, and what a person does with it.

let place = 0; // of the question
let part = others[0]; // the modality whose counterpart is asked for
let doubt = null; // a counterpart to be chosen again by who is sure
const USED = 'The run has used this answer: it cannot be changed any more.';

function question() {
  return questions[place];
}

function openPart() {
  return others.find(
      (other) => chosenOf(question(), other) === undefined) ?? others[0];
}

// Who goes by Tab, or hears the page, is at what is asked now: what had the
// focus may be gone, and what keeps it is another question.
function refocus(id) {
  const now = document.activeElement;
  if (now === byId(id)) now.blur(); // so that it is read out anew
  if (now === byId(id) || now === document.body ||
      !now?.getClientRects().length) {
    byId(id).focus({preventScroll: true});
  }
}

function go(to) {
  place = (to + questions.length) % questions.length;
  part = openPart();
  doubt = null;
  byId('done').hidden = true;
  byId('main').hidden = false;
  render();
  window.scrollTo(0, 0);
  refocus('asked');
}

// To the next part, or the next question that is open, or to the end.
function advance() {
  doubt = null;
  const next = others.find(
      (other) => chosenOf(question(), other) === undefined);
  if (next && !isSkipped(question())) {
    part = next;
    render();
    refocus('asked');
    return;
  }
  const order = questions.map((_, step) => (place + 1 + step) % questions.length);
  const open = order.find((at) => isOpen(questions[at]));
  if (open === undefined) finish();
  else go(open);
}

function note(text, warns = false) {
  byId('note').textContent = text;
  byId('note').classList.toggle('warns', warns);
}

function answer(number, why) {
  const asked = question();
  const where = place + 1;
  if (isUsed(asked)) {
    note(USED, true);
    return;
  }
  const same = number === null ? [] : sharing(asked, part, number);
  const isSure = (doubt?.question === asked && doubt.part === part &&
      doubt.number === number) || (number !== null &&
      disputeOf(asked) === DOUBT && chosenOf(asked, part) === number);
  if (same.length && !isSure) {
    doubt = {question: asked, part, number};
    render();
    note(`${inWords(part, number)} is the answer to question ` +
        `${questions.indexOf(same[0]) + 1}, too. Choose it again if both are ` +
        'right.', true);
    return;
  }
  choose(asked, part, number, why, isSure, same);
  note(`Question ${where}: ${why ?? inWords(part, number)}`);
  advance();
  changed();
}

function leave() {
  if (isUsed(question())) {
    note(USED, true);
    return;
  }
  skip(question());
  note(`Question ${place + 1}: skipped`);
  advance();
  changed();
}

function takeBack() {
  const back = undo();
  if (!back) {
    note(state.history.length ? USED : 'There is nothing to undo.', true);
    return;
  }
  go(questions.indexOf(back));
  note(`Question ${place + 1}: undone`);
  changed();
}

function lookElsewhere() {
  const asked = question();
  finder.open(asked, part, (number) => answer(number));
}

// The second click of a double one is none on the question that comes then.
function once(act) {
  return (event) => {
    if (event.detail < 2) act();
  };
}

// A long text is cut in a list; this shows all of it.
function unfolder(choice) {
  const button = element('button', 'unfold', 'Show all of it');
  button.type = 'button';
  choice.classList.add('long');
  button.onclick = () => {
    choice.classList.remove('long');
    button.remove();
    choice.focus();
  };
  return button;
}

function choiceOf(number, key) {
  const choice = element('button', 'choice');
  choice.type = 'button';
  choice.dataset.number = number;
  choice.title = `${part} ${number}`;
  choice.setAttribute(
      'aria-pressed', String(chosenOf(question(), part) === number));
  choice.classList.toggle(
      'doubt', doubt?.number === number && doubt.part === part);
  choice.append(element('kbd', '', key), shown(part, number));
  choice.onclick = once(() => answer(number));
  const entry = element('li');
  entry.append(choice);
  if (isLong(part, number)) entry.append(unfolder(choice));
  return entry;
}

function renderParts() {
  byId('parts').hidden = others.length < 2;
  byId('parts').replaceChildren(...others.map((other) => {
    const answered = chosenOf(question(), other) !== undefined;
    const button = element('button', '', answered ? `✓ ${other}` : other);
    button.type = 'button';
    if (other === part) button.setAttribute('aria-current', 'step');
    button.onclick = () => {
      part = other;
      doubt = null;
      render();
    };
    return button;
  }));
}

function renderChoices() {
  const candidates = candidatesOf(question(), part);
  const chosen = chosenOf(question(), part);
  const list = candidates.map((number, at) => choiceOf(
      number, at < 10 ? String((at + 1) % 10) : ''));
  const beyond = [chosen, doubt?.part === part ? doubt.number : null].find(
      (number) => number != null && !candidates.includes(number));
  if (beyond !== undefined) list.push(choiceOf(beyond, ''));
  byId('choices').classList.toggle('pictures', candidates.some(
      (number) => round.items[part][number].picture !== undefined));
  byId('choices').replaceChildren(...list);
  const why = entryOf(question())?.why[part];
  for (const [id, reason] of [
    ['none', NONE_OF_THESE], ['never', NO_COUNTERPART]]) {
    byId(id).setAttribute('aria-pressed', String(why === reason));
  }
  byId('skip').setAttribute('aria-pressed', String(isSkipped(question())));
}

function renderProgress() {
  const done = questions.filter(isDone).length;
  byId('progress').max = questions.length;
  byId('progress').value = done;
  byId('progress').title = `${done} of ${questions.length} answered`;
  const where = `${place + 1} / ${questions.length}`;
  byId('place').textContent = where;
  byId('place').setAttribute('aria-label', `${where}, all questions`);
  byId('person').textContent = person;
  byId('undo').disabled = !state.history.length;
  for (const id of ['search', 'none', 'never', 'skip']) {
    byId(id).disabled = byId('main').hidden;
  }
}

function render() {
  renderProgress();
  if (byId('main').hidden) {
    finish();
    return;
  }
  const dispute = disputeOf(question());
  byId('asked').replaceChildren(
      element('p', 'what', `${round.modality} ${question().item}` +
          (isUsed(question()) ? ', its answer is used by the run' : '')),
      shown(round.modality, question().item));
  byId('dispute').textContent = dispute ? `Open: ${DISPUTES[dispute]}.` : '';
  byId('ask').textContent =
      `Which ${part} belongs to this ${round.modality}?`;
  renderParts();
  renderChoices();
  showKept();
}
