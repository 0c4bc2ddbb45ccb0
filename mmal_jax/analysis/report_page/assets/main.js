const slider = document.getElementById('at-slider');

function move(at) {
  slider.value = at;
  showScores(at);
  showRounds(at);
  const [first, last] = roundsAt(at);
  showMap(last, first);
}

slider.addEventListener('input', () => move(Number(slider.value)));
letLinesBeHidden();
letCurvesBePointedAt(move);
letMapsBeAsked();
document.getElementById('control').hidden = false;
// A page that was reloaded may have kept the slider elsewhere.
move(data.positions.length - 1);
