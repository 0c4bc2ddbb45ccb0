// The position on the curves, and the table at that position.

const data = JSON.parse(document.getElementById('data').textContent);

function rowsOfStrategies() {
  return [...document.querySelectorAll('#scores tr[data-line]')];
}

function showScores(at) {
  const x = data.x[at];
  document.getElementById('at').setAttribute('d', `M${x} 0V1000`);
  for (const dot of document.querySelectorAll('.dot')) {
    dot.setAttribute('d', `M${x} ${data.y[dot.dataset.line][at]}h0`);
  }
  for (const [line, row] of rowsOfStrategies().entries()) {
    for (const [column, text] of data.cells[at][line].entries()) {
      row.children[column + 1].textContent = text;
    }
  }
  for (const id of ['after', 'at-words']) {
    document.getElementById(id).textContent = data.positions[at];
  }
  document.getElementById('at-slider').setAttribute(
      'aria-valuetext', data.positions[at]);
}

// A strategy's name becomes a button that hides its line.
function letLinesBeHidden() {
  for (const row of rowsOfStrategies()) {
    const name = row.querySelector('.name');
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = name.textContent;
    button.title = 'Show or hide its line';
    button.setAttribute('aria-pressed', 'true');
    button.addEventListener('click', () => {
      const shown = button.getAttribute('aria-pressed') !== 'true';
      button.setAttribute('aria-pressed', String(shown));
      for (const one of partsOf(row.dataset.line)) {
        one.classList.toggle('hidden', !shown);
      }
    });
    name.replaceChildren(button);
    for (const [kind, faint] of [['pointerenter', true],
                                 ['pointerleave', false]]) {
      row.addEventListener(kind, () => setApart(row.dataset.line, faint));
    }
  }
}

function partsOf(line) {
  return document.querySelectorAll(`.area [data-line="${line}"]`);
}

function setApart(line, apart) {
  for (const one of document.querySelectorAll('.area [data-line]')) {
    one.classList.toggle('faint', apart && one.dataset.line !== line);
  }
}

// On the curves themselves a finger or a mouse moves the position, too.
function letCurvesBePointedAt(move) {
  const area = document.querySelector('.area');
  const go = (event) => {
    const box = area.getBoundingClientRect();
    const x = 1000 * (event.clientX - box.left) / box.width;
    move(data.x.reduce((best, value, at) =>
        Math.abs(value - x) < Math.abs(data.x[best] - x) ? at : best, 0));
  };
  area.addEventListener('pointerdown', go);
  area.addEventListener('pointermove', (event) => {
    if (event.buttons) {
      go(event);
    }
  });
}
