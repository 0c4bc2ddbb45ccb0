"""Which axis of which parameter lies over the `fsdp` axis of a mesh."""

from typing import Any, TypeVar

import jax

from mmal_jax.models import names

Tree = TypeVar('Tree')
P = jax.sharding.PartitionSpec

# The first pattern that fits decides. Always an axis as long as a residual
# stream or an embedding, which powers of two divide; what is left is small. The
# state of an optimizer has the parameters' names, with others before them.
RULES: tuple[tuple[str, P], ...] = (
    ('*.query.kernel', P('fsdp', None, None)),  # [width, heads, head_dim]
    ('*.key.kernel', P('fsdp', None, None)),
    ('*.value.kernel', P('fsdp', None, None)),
    ('*.out.kernel', P(None, None, 'fsdp')),  # [heads, head_dim, width]
    ('*.expand.kernel', P('fsdp', None)),  # [width, mlp_width]
    ('*.contract.kernel', P(None, 'fsdp')),  # [mlp_width, width]
    ('*.embed.kernel', P(None, 'fsdp')),  # [patch, width]
    ('*.hidden.kernel', P(None, 'fsdp')),  # [features, width]
    ('*.token.embedding', P(None, 'fsdp')),  # [vocab_size, width]
    ('*_projection.kernel', P('fsdp', None)),  # [width, embed_dim]
    ('*', P()),
)


def shardings(tree: Any, mesh: jax.sharding.Mesh) -> Any:
  """Where every parameter, or part of an optimizer's state, belongs.

  Args:
    tree: of arrays or `jax.ShapeDtypeStruct`.
    mesh: from `sharding.make_mesh`.

  Returns:
    A tree of `NamedSharding`.

  Raises:
    ValueError: if the size of `fsdp` does not divide an axis it should cut.
  """
  def of(path, leaf):
    name = names.dotted(path)
    spec = next(spec for pattern, spec in RULES
                if names.matches(name, [pattern]))
    for axis, cut in enumerate(spec):
      if cut and leaf.shape[axis] % mesh.shape[cut]:
        raise ValueError(
            f'{name} of shape {leaf.shape} cannot be sharded along axis {axis} '
            f'into {cut}={mesh.shape[cut]} parts.')
    return jax.sharding.NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(of, tree)


def gathered(tree: Tree, mesh: jax.sharding.Mesh | None) -> Tree:
  """Inside a jitted function: parameters whole on each device, for their use.

  Batches and parameters are sharded over the same axis. Left to itself, the
  compiler would gather batches instead, and shard activations.
  """
  if mesh is None:
    return tree
  where = shardings(tree, mesh)

  @jax.custom_vjp
  def whole(tree):
    return jax.lax.with_sharding_constraint(
        tree, jax.sharding.NamedSharding(mesh, P()))

  # Gradients are cut again at once; by default they would stay whole, too.
  whole.defvjp(
      lambda tree: (whole(tree), None),
      lambda _, cotangent: (
          jax.lax.with_sharding_constraint(cotangent, where),))
  return whole(tree)


def place(tree: Tree, mesh: jax.sharding.Mesh | None) -> Tree:
  """Lays parameters, from the host or elsewhere, over the mesh.

  Args:
    tree: of arrays.
    mesh: None: the default device.
  """
  if mesh is None:
    return jax.tree.map(jax.numpy.asarray, tree)
  return jax.tree.map(jax.device_put, tree, shardings(tree, mesh))


def mesh_of(tree: Any) -> jax.sharding.Mesh | None:
  """The mesh over which a tree of arrays lies; None for a single device."""
  for leaf in jax.tree.leaves(tree):
    where = getattr(leaf, 'sharding', None)
    if isinstance(where, jax.sharding.NamedSharding) and where.mesh.size > 1:
      return where.mesh
  return None


def batch_rows(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """How the rows of a batch lie over the mesh: over all of its devices."""
  return jax.sharding.NamedSharding(mesh, P(mesh.axis_names))
