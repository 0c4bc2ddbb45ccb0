"""Weights of transformers' SigLIP in the layout of big_vision's files."""

import numpy as np


def arrays(model):
  """What big_vision would have saved, named as its own modules are."""
  state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
  out = {}

  def dense(name, weight, bias):
    out[f'{name}/kernel'], out[f'{name}/bias'] = weight.T, bias

  def norm(name, key):
    out[f'{name}/scale'] = state[f'{key}.weight']
    out[f'{name}/bias'] = state[f'{key}.bias']

  def mlp(name, key):
    for i in range(2):
      dense(f'{name}/MlpBlock_0/Dense_{i}', state[f'{key}.fc{i + 1}.weight'],
            state[f'{key}.fc{i + 1}.bias'])

  def attention(name, heads, weights, biases):
    """Weights and biases of query, key, value, out; linen splits the heads."""
    name = f'{name}/MultiHeadDotProductAttention_0'
    width = len(biases[0])
    for side, weight, bias in zip(('query', 'key', 'value'), weights, biases):
      out[f'{name}/{side}/kernel'] = weight.T.reshape(width, heads, -1)
      out[f'{name}/{side}/bias'] = bias.reshape(heads, -1)
    out[f'{name}/out/kernel'] = weights[3].T.reshape(heads, -1, width)
    out[f'{name}/out/bias'] = biases[3]

  for tower, encoder, last, config in (
      ('vision_model', 'params/img/Transformer', 'post_layernorm',
       model.config.vision_config),
      ('text_model', 'params/txt/Encoder_0', 'final_layer_norm',
       model.config.text_config)):
    norm(f'{encoder}/encoder_norm', f'{tower}.{last}')
    for i in range(config.num_hidden_layers):
      block, key = f'{encoder}/encoderblock_{i}', f'{tower}.encoder.layers.{i}'
      norm(f'{block}/LayerNorm_0', f'{key}.layer_norm1')
      norm(f'{block}/LayerNorm_1', f'{key}.layer_norm2')
      mlp(block, f'{key}.mlp')
      sides = [f'{key}.self_attn.{s}' for s in (
          'q_proj', 'k_proj', 'v_proj', 'out_proj')]
      attention(block, config.num_attention_heads,
                [state[f'{s}.weight'] for s in sides],
                [state[f'{s}.bias'] for s in sides])
  head, pool = 'vision_model.head', 'params/img/MAPHead_0'
  out[f'{pool}/probe'] = state[f'{head}.probe']
  norm(f'{pool}/LayerNorm_0', f'{head}.layernorm')
  mlp(pool, f'{head}.mlp')
  attention(
      pool, model.config.vision_config.num_attention_heads,
      [*np.split(state[f'{head}.attention.in_proj_weight'], 3),
       state[f'{head}.attention.out_proj.weight']],
      [*np.split(state[f'{head}.attention.in_proj_bias'], 3),
       state[f'{head}.attention.out_proj.bias']])
  patches = 'vision_model.embeddings.patch_embedding'
  out['params/img/embedding/kernel'] = np.einsum(
      'ochw->hwco', state[f'{patches}.weight'])
  out['params/img/embedding/bias'] = state[f'{patches}.bias']
  for short, tower in (('img', 'vision_model'), ('txt', 'text_model')):
    out[f'params/{short}/pos_embedding'] = state[
        f'{tower}.embeddings.position_embedding.weight'][None]
  out['params/txt/Embed_0/embedding'] = state[
      'text_model.embeddings.token_embedding.weight']
  dense('params/txt/head', state['text_model.head.weight'],
        state['text_model.head.bias'])
  out['params/t'], out['params/b'] = state['logit_scale'], state['logit_bias']
  return out
