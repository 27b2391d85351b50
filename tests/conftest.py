"""JAX at its strictest, so that what it would let pass in silence fails here."""

import os
from pathlib import Path

import jax

# Nearly all of the tests' time is compiling, each small function once: these compile quickly, not
# well. Programs that a test starts compile as they would for a user, and so does make verify.
usual = os.environ.get("XLA_FLAGS", "")
quick = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{usual} {quick}"
jax.devices()  # reads them
os.environ["XLA_FLAGS"] = usual

jax.config.update("jax_enable_x64", True)  # a dtype left to default shows itself as float64
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# What was compiled once need not be compiled again: not by the other worker, nor the next time.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = Path(__file__).parents[1] / ".pytest_cache" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
