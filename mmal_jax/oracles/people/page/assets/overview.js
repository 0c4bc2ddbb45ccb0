// All questions with their answers, and the end.

function wordsOf(question, other) {
  const chosen = chosenOf(question, other);
  if (chosen === undefined) {
    return isSkipped(question) ? 'skipped' : isUsed(question) ? 'used' : 'open';
  }
  return chosen === null ? entryOf(question).why[other] : null;
}

function rowOf(question, at) {
  const row = element('button', 'row');
  row.type = 'button';
  row.append(element('span', 'number', at + 1),
      shown(round.modality, question.item));
  for (const other of others) {
    const words = wordsOf(question, other);
    row.append(words === null ? shown(other, chosenOf(question, other)) :
        element('span', 'words', words));
  }
  if (disputeOf(question)) {
    row.append(element('span', 'words', DISPUTES[disputeOf(question)]));
  }
  row.classList.toggle(
      'open', !isDone(question) || Boolean(disputeOf(question)));
  row.onclick = () => {
    byId('overview').close();
    go(at);
  };
  if (at === place) row.setAttribute('aria-current', 'true');
  const entry = element('li');
  entry.append(row);
  return entry;
}

function openOverview() {
  byId('all').replaceChildren(...questions.map(rowOf));
  byId('overview').showModal();
  const here = byId('all').querySelector('[aria-current]');
  here.scrollIntoView({block: 'center'});
  here.focus({preventScroll: true});
}

function actionOf(text, name, act) {
  const action = element('button', name, text);
  action.type = 'button';
  action.onclick = act;
  return action;
}

// Nothing is open: what is to be done with the answers.
function finish() {
  const answered = questions.filter(isDone).length;
  const left = questions.findIndex((question) => !isDone(question));
  const done = byId('done');
  const isNew = newest !== round.name;
  const disputed = questions.flatMap((question, at) =>
    disputeOf(question) ? [at] : []);
  const what = !served ? (pending() || !state.delivered ?
      'Now download the answers. Send' :
      `${fileName()} is among your downloads. Send`) + ' the file to the ' +
      'person who gave you this page. If that is you: it belongs in the ' +
      'folder “answers” of the run.' :
    isNew ? 'The run has gone on, and has new questions.' :
    !isThere ? 'The program has ended, or does not answer at present. When ' +
      'it is started again, it says where its next questions are.' :
    disputed.length ? `The answers are saved, but ${counted(
        disputed.length, 'answer')} cannot be used yet: look at ` +
      (disputed.length === 1 ? 'that question' : 'those questions') +
      ' once more, please.' :
      'The answers are saved. The run goes on by itself, and its next ' +
      'questions appear here. They may take a while.';
  const actions = element('div', 'actions');
  if (isNew) {
    actions.append(actionOf('Go to the new questions', 'main', () =>
      location.replace(`../${newest}/`)));
  }
  if (!served) actions.append(actionOf('Download answers', 'main', download));
  if (disputed.length && !isNew) {
    const first = disputed[0];
    actions.append(actionOf(
        `Look at question ${first + 1}`, 'main', () => go(first)));
  }
  if (left >= 0) actions.append(actionOf('Go to the skipped', '', () => go(left)));
  actions.append(actionOf('See all answers', '', openOverview));
  done.replaceChildren(
      element('h1', '', left < 0 ? 'All questions are answered' :
          `${counted(answered, 'question')} answered, ` +
          `${questions.length - answered} skipped`),
      element('p', '', what), actions);
  const isFirst = done.hidden;
  byId('main').hidden = true;
  done.hidden = false;
  renderProgress();
  if (isFirst) refocus('done');
  showKept();
}

byId('overview-close').onclick = () => byId('overview').close();
