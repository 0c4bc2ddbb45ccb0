// The maps of the pools: what was asked up to a round, and what an item is.

const NEAR = 45;  // of the map's thousand units
let reached = 0;

function showMap(round, first) {
  reached = round;
  for (const mark of document.querySelectorAll('.pool .mark')) {
    const its = Number(mark.dataset.round);
    mark.classList.toggle('later', its > round);
    mark.classList.toggle('now', its >= first && its <= round);
  }
  for (const figure of document.querySelectorAll('.map')) {
    showItem(figure, -1);
  }
}

function itemsOf(figure) {
  return data.map[figure.dataset.modality];
}

function isSeen(items, i) {
  return items.kinds[i] > 0 && items.rounds[i] <= reached;
}

function showItem(figure, i) {
  const items = itemsOf(figure);
  const seen = figure.querySelector('.seen');
  figure.dataset.at = i;
  figure.querySelector('.ring').setAttribute(
      'd', i < 0 ? 'M0 0' : `M${items.x[i]} ${items.y[i]}h0`);
  seen.replaceChildren();
  if (i < 0) {
    return;
  }
  // In the corner that is away from the item.
  seen.classList.toggle('left', items.x[i] > 500);
  seen.classList.toggle('above', items.y[i] > 500);
  const name = `${figure.dataset.modality} ${items.numbers[i]}`;
  const how = ['', 'asked in', 'named by an answer of'][items.kinds[i]];
  line(seen, 'p', isSeen(items, i) ?
      `${name}, ${how} round ${items.rounds[i]}` : `${name}, not asked`);
  const picture = document.querySelector(`[data-item="${CSS.escape(
      `${figure.dataset.modality}-${items.numbers[i]}`)}"] img`);
  if (picture) {
    seen.append(picture.cloneNode());
  } else {
    line(seen, 'p', items.texts[i]).dir = 'auto';
  }
}

function line(parent, kind, text) {
  const one = document.createElement(kind);
  one.textContent = text;
  parent.append(one);
  return one;
}

function nearest(figure, event) {
  const items = itemsOf(figure);
  const box = figure.querySelector('svg').getBoundingClientRect();
  const x = 1000 * (event.clientX - box.left) / box.width;
  const y = 1000 * (event.clientY - box.top) / box.height;
  let best = -1;
  let least = NEAR ** 2;
  for (let i = 0; i < items.x.length; i++) {
    const distance = (items.x[i] - x) ** 2 + (items.y[i] - y) ** 2;
    if (distance < least) {
      [best, least] = [i, distance];
    }
  }
  return best;
}

function letMapsBeAsked() {
  for (const hint of document.querySelectorAll('.hint')) {
    hint.hidden = false;
  }
  for (const figure of document.querySelectorAll('.map')) {
    const map = figure.querySelector('svg');
    for (const kind of ['pointermove', 'pointerdown']) {
      map.addEventListener(kind, (event) => {
        const found = nearest(figure, event);
        if (String(found) !== figure.dataset.at && found >= 0) {
          showItem(figure, found);
        }
      });
    }
    map.addEventListener('keydown', (event) => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[
          event.key];
      if (step) {
        event.preventDefault();
        go(figure, step);
      }
    });
  }
}

// Through what was asked or named, by rounds.
function go(figure, step) {
  const items = itemsOf(figure);
  const order = items.x.map((_, i) => i).filter((i) => isSeen(items, i)).sort(
      (i, j) => items.rounds[i] - items.rounds[j] || i - j);
  if (!order.length) {
    return;
  }
  const place = order.indexOf(Number(figure.dataset.at));
  const next = place < 0 ? (step > 0 ? 0 : order.length - 1) :
      (place + step + order.length) % order.length;
  showItem(figure, order[next]);
}
