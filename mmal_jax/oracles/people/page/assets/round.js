// The round: its questions, and what is seen of its items.

const round = JSON.parse(document.getElementById('data').textContent);
const questions = round.questions;
const others = round.others; // modalities of the counterparts
const byId = (id) => document.getElementById(id);

// What the page says of itself is what it was served with.
const served = document.querySelector('meta[http-equiv]').content
    .includes("connect-src 'self'");

function candidatesOf(question, modality) {
  return question.likely[modality].slice(0, round.candidates);
}

// All that can be searched, the likeliest counterparts first.
function searchedOf(question, modality) {
  const likely = question.likely[modality];
  const first = new Set(likely);
  return likely.concat(
      round.searched[modality].filter((number) => !first.has(number)));
}

// A new element with a class and a text, which is never read as HTML.
function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

// What is seen of an item: a picture, or a text in its own direction.
function shown(modality, number) {
  const item = round.items[modality][number];
  if (item.picture === undefined) {
    const text = element('span', 'text', item.text);
    text.dir = 'auto';
    if (!item.text.trim()) text.textContent = '(empty)';
    return text;
  }
  const picture = element('img', 'picture');
  picture.alt = `${modality} ${number}`;
  picture.decoding = 'async';
  // Its place is there before it is decoded: nothing moves under a finger.
  const [width, height] = item.size;
  const tiny = Math.max(width, height) <= 96;
  picture.classList.toggle('tiny', tiny);
  picture.style.setProperty('--ratio', width / height);
  picture.style.setProperty('--width', `${tiny ? 320 : width}px`);
  picture.src = item.picture;
  return picture;
}

// An item in few words, for messages.
function inWords(modality, number) {
  const item = round.items[modality][number];
  const words = item.text ?? item.name;
  if (words === undefined) return `${modality} ${number}`;
  const text = words.trim().replace(/\s+/gu, ' ');
  const letters = [...text];
  const short = letters.length > 60 ? letters.slice(0, 59).join('') + '…' : text;
  return `\u2068${short}\u2069`; // isolated: it may run from right to left
}

function isLong(modality, number) {
  const {text = ''} = round.items[modality][number];
  return text.length > 600 || text.split('\n').length > 10;
}

function counted(number, what) {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
