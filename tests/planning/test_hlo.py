"""What chips say to each other, read off texts of compiled programs."""

import jax
import jax.numpy as jnp
import pytest

from mmal_jax.parallel import sharding
from mmal_jax.planning import hlo

# As libtpu writes it, shortened: a loop whose body gathers, a branch of it that
# sums, and a gather in the background that is there in three parts.
_TPU = '''\
HloModule jit__select, is_scheduled=true

%region_6.6 (a: f32[], b: f32[]) -> f32[] {
  ROOT %add.1 = f32[]{:T(128)} add(%a, %b)
}

%branch.1 (x: bf16[1024,512]) -> bf16[1024,512] {
  ROOT %psum.8 = bf16[1024,512]{1,0:T(8,128)(2,1)} all-reduce(%x), \
channel_id=1, replica_groups={{0,1}}, to_apply=%region_6.6
}

%body.1 (t: (f32[16384], s32[])) -> (f32[16384], s32[]) {
  %all-gather.14 = f32[16384]{0:T(1024)S(1)} all-gather(%top_k.48), \
channel_id=2, dimensions={0}, frontend_attributes={a="all-gather-start"}
  %c = bf16[1024,512]{1,0} conditional(%p, %x, %y), \
branch_computations={%branch.1, %region_6.6}
  ROOT %tuple.1 = (f32[16384]{0}, s32[]) tuple(%all-gather.14, %n)
}

%cond.1 (t: (f32[16384], s32[])) -> pred[] {
  ROOT %lt = pred[]{:T(512)} compare(%n, %k), direction=LT
}

%async.1 (p: bf16[192,3072]) -> (bf16[192,3072], bf16[768,3072], u32[]) {
  %all-gather.742 = bf16[768,3072]{1,0:T(8,128)(2,1)} all-gather(%p), \
channel_id=62, dimensions={0}
}

%async.2 (p: bf16[192,3072]) -> (bf16[192,3072], bf16[768,3072], u32[]) {
  %all-gather.743 = bf16[768,3072]{1,0:T(8,128)(2,1)} all-gather(%p), \
channel_id=62, dimensions={0}
}

ENTRY %main (p: f32[8]) -> f32[16384] {
  %w = (f32[16384]{0:T(1024)}, s32[]{:T(128)}) while(%t), \
condition=%cond.1, body=%body.1
  %f = (bf16[192,3072], bf16[768,3072], u32[]) fusion(%p.1), calls=%async.1
  %g = (bf16[192,3072], bf16[768,3072], u32[]) fusion(%f), calls=%async.2
  %all-reduce.1 = (f32[]{:T(128)}, f32[512]{0:T(512)S(1)}) \
all-reduce(%a, %b), channel_id=1, to_apply=%region_6.6
  ROOT %r = f32[16384]{0} get-tuple-element(%w), index=0
}
'''
# In the background, as on GPUs: operands, results, and what is waited for.
_STARTED = '''\
ENTRY %main (p: f32[4]) -> f32[8] {
  %s = (f32[4]{0}, f32[8]{0}) all-gather-start(%p), channel_id=1, dimensions={0}
  %d = f32[8]{0} all-gather-done(%s)
  %t = (s8[4,2]{1,0}, s8[4,2]{1,0}, u32[], u32[]) \
collective-permute-start(%q), channel_id=2
  %e = s8[4,2]{1,0} collective-permute-done(%t)
  ROOT %u = (f32[8]{0}, pred[3]{0}) all-reduce-start(%d, %m), channel_id=3
}
'''


def test_of_a_tpu():
  assert hlo.collectives(_TPU) == [
      hlo.Collective('all-reduce', 1024 * 512, 2 * 1024 * 512, True),
      hlo.Collective('all-gather', 16384, 4 * 16384, True),
      hlo.Collective('all-gather', 768 * 3072, 2 * 768 * 3072, False),
      hlo.Collective('all-reduce', 512, 4 * 513, False)]
  assert hlo.summed(hlo.collectives(_TPU)) == {
      'all-gather': hlo.Sum(2, 4 * 16384 + 2 * 768 * 3072, 1),
      'all-reduce': hlo.Sum(2, 2 * 1024 * 512 + 4 * 513, 1)}


def test_in_the_background():
  assert hlo.collectives(_STARTED) == [
      hlo.Collective('all-gather', 8, 32, False),
      hlo.Collective('collective-permute', 8, 8, False),
      hlo.Collective('all-reduce', 8, 35, False)]


def test_without_any():
  text = jax.jit(lambda x: x + 1).lower(jnp.ones(3)).compile().as_text()
  assert hlo.collectives(text) == [] and hlo.summed([]) == {}


@pytest.mark.parametrize('parts', [2, 8])
def test_of_the_compiler_at_hand(parts):
  """Once a pass in a loop, once behind it."""
  rows = sharding.row_sharding(jax.devices()[:parts])

  def body(axis, x):
    def add(_, total):
      return total + sharding.gather(x * total[0], axis).sum((0, 1))

    total = jax.lax.fori_loop(0, x.shape[0] * 100, add, x[0])
    return sharding.total(total, axis)

  x = jax.ShapeDtypeStruct((8 * 4, 24), jnp.float32, sharding=rows)
  text = jax.jit(lambda x: sharding.map_rows(body, rows, (x,))).lower(
      x).compile().as_text()
  assert sorted(hlo.collectives(text)) == [
      hlo.Collective('all-gather', 32 * 24, 4 * 32 * 24, True),
      hlo.Collective('all-reduce', 24, 4 * 24, False)]


def test_cycles_count_loops_as_often_as_they_go():
  text = '''\
%inner (t: f32[]) -> f32[] {
  %a = f32[8] fusion(%t), backend_config={"estimated_cycles":"3"}
}

%rare (t: f32[]) -> f32[] {
  %b = f32[8] fusion(%t), backend_config={"estimated_cycles":"1000"}
}

%is_less (t: f32[]) -> pred[] {
  %c = pred[] fusion(%t), backend_config={"estimated_cycles":"1"}
}

%outer (t: f32[]) -> f32[] {
  %d = f32[8] fusion(%t), backend_config={"estimated_cycles":"20"}
  %e = f32[] while(%d), condition=%is_less, body=%inner
  %f = f32[] while(%e), condition=%is_less, body=%rare
}

ENTRY %main (p: f32[8]) -> f32[] {
  %g = f32[8] fusion(%p), backend_config={"estimated_cycles":"100"}
  ROOT %h = f32[] while(%g), condition=%is_less, body=%outer
}
'''
  assert hlo.cycles(text, ()) == 100
  assert hlo.cycles(text, ((10,),)) == 100 + 10 * (20 + 1)
  assert hlo.cycles(text, ((10,), (5, 0))) == 100 + 10 * (21 + 5 * 4)
  assert hlo.cycles(text, ((10,), (5,))) == (
      100 + 10 * (21 + 5 * 4 + 5 * 1001))
