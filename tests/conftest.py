"""JAX at its strictest, so that what it would let pass in silence fails here."""

import jax

jax.config.update("jax_enable_x64", True)  # a dtype left to default shows itself as float64
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
