// What was asked in the rounds that belong to a position.

// A position at which no round ended shows the round before.
function roundsAt(at) {
  const last = data.reached[at];
  const before = at > 0 ? data.reached[at - 1] : 0;
  return [Math.min(before + 1, last), last];
}

function showRounds(at) {
  const [first, last] = roundsAt(at);
  for (const section of document.querySelectorAll('.round')) {
    const round = Number(section.dataset.round);
    section.hidden = round < first || round > last;
  }
  document.getElementById('before').hidden = last > 0;
}
