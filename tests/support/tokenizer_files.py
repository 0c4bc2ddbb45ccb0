"""Tokenizers in every published layout, and texts to try them on."""

import json
import random

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
import tokenizers
import transformers

_WORDS = (
    'a the of on in with two three and under near dog cat bird child woman man '
    'red blue green small tall old young runs sits jumps holding wearing '
    'photo picture painting street beach forest mountain water sky grass '
    'umbrella bicycle bench window kitchen table guitar sunset morning '
    "it's don't they're we'll café naïve 12 2024 3.5 snow-covered").split()


def _corpus():
  rng = random.Random(0)
  for _ in range(2000):
    words = [rng.choice(_WORDS) for _ in range(rng.randint(3, 14))]
    yield ' '.join(words).capitalize() + rng.choice(['.', '!', '', ', ok?'])


def _texts(n=1000):
  """ASCII and much that is not; the same on every machine."""
  rng = random.Random(1)
  special = [
      '<|endoftext|>', '<|startoftext|>', '</s>', '<s>', '<pad>', '<unk>',
      '<bos>', '<eos>', '<mask>', '<start_of_turn>', '</w>', '<|ENDOFTEXT|>',
      '</S>', '<PAD>', '<UNK>', '<0x41>', '<|', '|>', '▁', '<unk', '＜unk＞',
      '\n\n', '!', '<EOS>', '<Bos>', '<new>', '<NEW>', ' <new> ', 'dog</w>',
      '<new>s', 'ol<new>ex', 'ol<new>e', '<new><new>']
  odd = [
      'é', 'e\u0301', 'ﬁ', '\u00c5', 'A\u030a', '\u212b', 'ß', 'İ', 'ı', 'Σ',
      'ς', 'ΑΣ', '世界', '日本語', '한국어', '\u1112\u1161\u11ab', 'ไทย', 'हिन्दी',
      'שלום', 'مرحبا', '\u202eabc\u202c', 'a\u0338\u0301\u0302', '\u0301',
      '\u0338', 'x\u20dd', '1⁄2', '½', '①', '²', 'Ⅷ', '٣', 'ｆｕｌｌ', '…',
      '👨\u200d👩\u200d👧', '🏳\ufe0f\u200d🌈', '👍🏽', '🇩🇪', '\ufe0f', '😀', '𝒳',
      '\x00', '\x07', '\x1b', '\x7f', '\x85', '\u200b', '\ufeff', '\u2028',
      '\t', '\n', '\r\n', '\u00a0', '\u3000', '  ', '\u2009', '\ufffd',
      '\U0010ffff', "'", "’s", "'S", '"', '--', '@#$%', '\\', '`', '_']

  def words(low=1, high=8):
    return ' '.join(rng.choice(_WORDS) for _ in range(rng.randint(low, high)))

  kinds = [
      words, lambda: words().upper(), lambda: words().title() + '!?',
      lambda: ''.join(chr(rng.randint(32, 126)) for _ in range(20)),
      lambda: ''.join(rng.choice(odd) for _ in range(rng.randint(1, 6))),
      lambda: words(1, 2) + rng.choice(['', ' ']) + rng.choice(odd) + words(),
      lambda: rng.choice(['', ' ', 'a ', 'Dog']) + rng.choice(special)
      + rng.choice(['', ' ', '  b', '\u0338c', '\ud7a3']) + words(0, 2),
      lambda: ''.join(rng.choice(special + odd + [' ']) for _ in range(5)),
      lambda: words(30, 200), lambda: rng.choice(_WORDS) * 30,
      lambda: ''.join(chr(c) for c in (
          rng.choice([rng.randint(0xa0, 0x2fff), rng.randint(0x3000, 0xd7ff),
                      rng.randint(0xe000, 0x1ffff)]) for _ in range(8)))]
  texts = ['', ' ', '   ', '\n', '\t \u00a0', '▁', '.', '...', '\u200b']
  texts += [words(1, 3) * k for k in (3, 4, 5, 6)]
  # Specials where texts are cut, and at their very end.
  texts += [' '.join(['dog'] * k) + s for k in range(18, 25)
            for s in ('</s>', '<eos>', ' <|endoftext|>')]
  while len(texts) < n:
    texts.append(rng.choice(kinds)())
  return texts


TEXTS = _texts()


def dump(folder, **files):
  folder.mkdir(exist_ok=True)
  for name, value in files.items():
    (folder / f'{name}.json').write_text(json.dumps(value))
  return folder


def only(source, folder, *names, **files):
  """A folder with some of the files of another."""
  dump(folder, **files)
  for name in names:
    (folder / name).write_bytes((source / name).read_bytes())
  return folder


def _clip(root):
  """CLIP's format: bytes, bytes that end a word, merges, two special tokens."""
  alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  trained = tokenizers.Tokenizer(tokenizers.models.BPE())
  trained.normalizer = tokenizers.normalizers.Lowercase()
  trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
  trained.train_from_iterator(_corpus(), tokenizers.trainers.BpeTrainer(
      vocab_size=900, end_of_word_suffix='</w>', show_progress=False))
  merges = [tuple(m) for m in json.loads(trained.to_str())['model']['merges']]
  tokens = alphabet + [c + '</w>' for c in alphabet]
  tokens += [''.join(m) for m in merges] + [
      '<|startoftext|>', '<|endoftext|>']
  vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
  token = {'lstrip': False, 'normalized': True, 'rstrip': False,
           'single_word': False}
  start, end = token | {'content': '<|startoftext|>'}, token | {
      'content': '<|endoftext|>'}
  # As openai/clip-vit-base-patch32 has them.
  files = {
      'config': {'model_type': 'clip'}, 'vocab': vocab,
      'special_tokens_map': {'bos_token': start, 'eos_token': end,
                             'unk_token': end, 'pad_token': '<|endoftext|>'},
      'tokenizer_config': {
          'unk_token': end | {'__type': 'AddedToken'},
          'bos_token': start | {'__type': 'AddedToken'},
          'eos_token': end | {'__type': 'AddedToken'},
          'pad_token': '<|endoftext|>', 'add_prefix_space': False,
          'errors': 'replace', 'do_lower_case': True, 'model_max_length': 77,
          'tokenizer_class': 'CLIPTokenizer'}}
  folder = dump(root / 'clip words', **files)
  (folder / 'merges.txt').write_text(
      '#version: 0.2\n' + ''.join(f'{a} {b}\n' for a, b in merges))
  transformers.CLIPTokenizer.from_pretrained(folder).save_pretrained(
      root / 'clip saved')
  dump(root / 'clip saved', config=files['config'])
  only(root / 'clip saved', root / 'clip json', 'tokenizer.json', **{
      k: v for k, v in files.items() if k != 'vocab'})
  only(folder, root / 'clip bare', 'vocab.json', 'merges.txt',
       config=files['config'])
  # As stabilityai/stable-diffusion-2 and some of OpenCLIP's pad.
  only(folder, root / 'clip pads !', 'vocab.json', 'merges.txt',
       config=files['config'],
       tokenizer_config=files['tokenizer_config'] | {
           'pad_token': '!', 'padding_side': 'left',
           'truncation_side': 'left'},
       special_tokens_map=files['special_tokens_map'] | {'pad_token': '!'})
  only(folder, root / 'clip added', 'vocab.json', 'merges.txt',
       config=files['config'], tokenizer_config=files['tokenizer_config'],
       added_tokens={'<new>': len(vocab)},
       special_tokens_map=files['special_tokens_map'] | {
           'additional_special_tokens': ['dog</w>']})


def _train(path, **options):
  sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=_corpus(), model_prefix=str(path), minloglevel=3,
      hard_vocab_limit=False, **options)
  return path.with_suffix('.model')


def _siglip(root):
  model = _train(
      root / 'spiece', model_type='unigram', vocab_size=400, pad_id=0, eos_id=1,
      unk_id=2, bos_id=-1, normalization_rule_name='nmt_nfkc')
  config = {'model_type': 'siglip'}
  bare = only(root, dump(root / 'siglip bare', config=config), 'spiece.model')
  transformers.SiglipTokenizer(str(model)).save_pretrained(
      root / 'siglip saved')
  dump(root / 'siglip saved', config=config)
  flags = {'lstrip': True, 'normalized': False, 'rstrip': True,
           'single_word': False, 'special': True}
  # As google/siglip-base-patch16-224 has them.
  published = {
      'added_tokens_decoder': {'1': flags | {'content': '</s>'},
                               '2': flags | {'content': '<unk>'}},
      'additional_special_tokens': [], 'clean_up_tokenization_spaces': True,
      'do_lower_case': True, 'eos_token': '</s>', 'model_max_length': 64,
      'model_input_names': ['input_ids'], 'pad_token': '</s>',
      'processor_class': 'SiglipProcessor', 'sp_model_kwargs': {},
      'tokenizer_class': 'SiglipTokenizer', 'unk_token': '<unk>'}
  only(bare, root / 'siglip', 'spiece.model', config=config,
       tokenizer_config=published)
  only(bare, root / 'siglip cased', 'spiece.model', config=config,
       tokenizer_config=published | {
           'do_lower_case': False, 'pad_token': '<pad>',
           'truncation_side': 'left', 'padding_side': 'left'})
  # All spaces kept, to see what becomes of them.
  spaces = _train(
      root / 'spaces', model_type='unigram', vocab_size=400, pad_id=0, eos_id=1,
      unk_id=2, bos_id=-1, normalization_rule_name='identity',
      remove_extra_whitespaces=False)
  dump(root / 'siglip spaces', config=config, tokenizer_config=published)
  (root / 'siglip spaces/spiece.model').write_bytes(spaces.read_bytes())
  size = len(transformers.AutoTokenizer.from_pretrained(bare))
  only(bare, root / 'siglip added', 'spiece.model', config=config,
       tokenizer_config=published | {
           'additional_special_tokens': ['<pad>'],
           'added_tokens_decoder': published['added_tokens_decoder'] | {
               str(size + i): flags | {'content': text, 'lstrip': False,
                                       'normalized': True, 'special': False}
               for i, text in enumerate(['<new>', 'ol<new>ex', '<new>s'])}})
  _siglip_json(model, dump(root / 'siglip json', config=config,
                            tokenizer_config=published))


def _siglip_json(model, folder):
  """As transformers.js converts it, for the `tokenizers` library."""
  proto = sentencepiece_model_pb2.ModelProto()
  proto.ParseFromString(model.read_bytes())
  fast = tokenizers.Tokenizer(tokenizers.models.Unigram(
      [(piece.piece, piece.score) for piece in proto.pieces], unk_id=2))
  normal, pre = tokenizers.normalizers, tokenizers.pre_tokenizers
  fast.normalizer = normal.Sequence([
      normal.Lowercase(),
      normal.Replace(tokenizers.Regex(r'[!-/:-@\[-`{-~]'), ''),
      normal.Replace(tokenizers.Regex(r'\s+'), ' '), normal.Strip(),
      normal.Precompiled(proto.normalizer_spec.precompiled_charsmap)])
  fast.pre_tokenizer = pre.Metaspace()
  fast.post_processor = tokenizers.processors.TemplateProcessing(
      single='$A </s>', special_tokens=[('</s>', 1)])
  fast.add_special_tokens(['<pad>', '</s>', '<unk>'])
  fast.save(str(folder / 'tokenizer.json'))


def gemma(root):
  for name in ('tokenizer', 'no bytes'):
    _train(
        root / name, model_type='bpe', vocab_size=800, pad_id=0, eos_id=1,
        bos_id=2, unk_id=3, byte_fallback=name == 'tokenizer',
        pad_piece='<pad>', eos_piece='<eos>', bos_piece='<bos>',
        user_defined_symbols=['<mask>', '<start_of_turn>', '\n\n'],
        normalization_rule_name='identity', add_dummy_prefix=False,
        remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        split_digits=True)
  # As google/siglip2-base-patch16-224 has them.
  published = {
      'add_bos_token': False, 'add_eos_token': True, 'bos_token': '<bos>',
      'eos_token': '<eos>', 'pad_token': '<pad>', 'unk_token': '<unk>',
      'padding_side': 'right', 'model_input_names': ['input_ids'],
      'additional_special_tokens': ['<start_of_turn>'], 'sp_model_kwargs': {},
      'do_lower_case': True, 'tokenizer_class': 'GemmaTokenizer',
      'processor_class': 'SiglipProcessor'}
  for name, model_type, fields in [
      ('fixed', 'siglip', {}), ('naflex', 'siglip2', {}),
      ('named', 'siglip', {'tokenizer_class': 'Siglip2TokenizerFast'}),
      ('both ends', 'siglip', {
          'tokenizer_class': 'Siglip2Tokenizer', 'add_bos_token': True}),
      ('bare', 'siglip2', None)]:
    config = {'model_type': model_type}
    folder = only(root, root / f'siglip2 {name}', 'tokenizer.model',
                  config=config)
    if fields is None:
      continue
    dump(folder, tokenizer_config=published | fields)
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    saved = root / f'siglip2 {name} saved'
    reference.save_pretrained(saved)
    dump(saved, config=config)
    only(saved, root / f'siglip2 {name} json', 'tokenizer.json',
         config=config, tokenizer_config=published | fields)
  dump(root / 'siglip2 no bytes', config={'model_type': 'siglip2'},
       tokenizer_config=published)
  (root / 'siglip2 no bytes/tokenizer.model').write_bytes(
      (root / 'no bytes.model').read_bytes())
  del published['additional_special_tokens']
  only(root, root / 'siglip2 own symbols', 'tokenizer.model',
       config={'model_type': 'siglip2'}, tokenizer_config=published)


def make(root):
  """All of `FOLDERS`, and `siglip json`."""
  _clip(root)
  _siglip(root)
  gemma(root)


# And the class of transformers that reads them.
FOLDERS = {
    **dict.fromkeys([
        'clip words', 'clip json', 'clip saved', 'clip bare', 'clip pads !',
        'clip added'], 'CLIPTokenizer'),
    **dict.fromkeys([
        'siglip', 'siglip bare', 'siglip saved', 'siglip cased', 'siglip added',
        'siglip spaces'], 'SiglipTokenizer'),
    **dict.fromkeys([
        'siglip2 fixed', 'siglip2 fixed saved', 'siglip2 fixed json',
        'siglip2 naflex', 'siglip2 naflex saved', 'siglip2 naflex json',
        'siglip2 named', 'siglip2 named json', 'siglip2 both ends',
        'siglip2 both ends json', 'siglip2 bare', 'siglip2 no bytes',
        'siglip2 own symbols'], 'Siglip2Tokenizer')}
