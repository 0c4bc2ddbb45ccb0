// Search in all items that remain.

const AT_ONCE = 60; // results that are shown, before more are asked for
const folds = new Map(); // by modality and number, what is searched in

// What letter case, accents and widths do not change.
function fold(text) {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
}

function foldedItem(modality, number) {
  const key = `${modality} ${number}`;
  if (!folds.has(key)) {
    const item = round.items[modality][number];
    folds.set(key, fold(item.text ?? item.name ?? ''));
  }
  return folds.get(key);
}

function matching(question, modality, text) {
  const words = fold(text).split(/\s+/u).filter(Boolean);
  return searchedOf(question, modality).filter((number) => words.every(
      (word) => word === String(number) ||
          foldedItem(modality, number).includes(word)));
}

const finder = {
  question: null, modality: '', numbers: [], shown: 0, marked: 0, pick: null,

  open(question, modality, pick) {
    Object.assign(this, {question, modality, pick});
    byId('finder-title').textContent = `Search ${modality}`;
    const items = round.searched[modality].map((n) => round.items[modality][n]);
    const haveWords = items.some(
        ({text, name}) => text !== undefined || name !== undefined);
    byId('words').placeholder = haveWords ? 'Words, or a number' :
        'A number: these pictures have no names';
    byId('words').value = '';
    this.search();
    byId('finder').showModal();
    // The keyboard of a phone would hide the pictures.
    const isPhone = matchMedia('(hover: none) and (pointer: coarse)').matches;
    byId(isPhone && !haveWords ? 'finder-close' : 'words').focus();
  },

  search() {
    this.numbers = matching(this.question, this.modality, byId('words').value);
    this.shown = 0;
    byId('results').replaceChildren();
    byId('results').classList.toggle('pictures', this.numbers.some(
        (number) => round.items[this.modality][number].picture !== undefined));
    const all = round.searched[this.modality].length;
    byId('found').textContent = `${this.numbers.length} of ` + (
      round.partial[this.modality] ? `the ${all} likeliest that remain` : all);
    this.more();
    this.mark(0);
  },

  more() {
    const some = this.numbers.slice(this.shown, this.shown + AT_ONCE);
    for (const number of some) {
      const choice = element('button', 'choice');
      choice.type = 'button';
      choice.dataset.number = number;
      choice.append(shown(this.modality, number));
      const name = round.items[this.modality][number].name;
      const about = element('span', 'about', name ?? '');
      about.dir = 'auto';
      choice.append(about, element('span', 'number', number));
      choice.classList.toggle('long', isLong(this.modality, number));
      choice.onclick = once(() => this.choose(number));
      const entry = element('li');
      entry.append(choice);
      byId('results').append(entry);
    }
    this.shown += some.length;
    byId('more').hidden = this.shown >= this.numbers.length;
  },

  mark(place) {
    if (place >= this.shown) this.more();
    this.marked = Math.max(0, Math.min(place, this.shown - 1));
    const choices = byId('results').querySelectorAll('.choice');
    choices.forEach((one, at) => {
      one.classList.toggle('marked', at === this.marked);
    });
    if (place > 0) choices[this.marked]?.scrollIntoView({block: 'nearest'});
  },

  choose(number) {
    byId('finder').close();
    this.pick(number);
  },

  key(event) {
    const move = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (move) {
      this.mark(this.marked + move);
    } else if (event.key === 'Enter' && event.target === byId('words')) {
      if (this.numbers.length) this.choose(this.numbers[this.marked]);
    } else {
      return;
    }
    event.preventDefault();
  },
};

byId('words').oninput = () => finder.search();
byId('more').onclick = () => finder.more();
byId('finder-close').onclick = () => byId('finder').close();
