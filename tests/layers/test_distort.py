import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import backhand as bh
from backhand.layers.distort import _waves

SHAPE = (9, 12)
AT = np.indices(SHAPE).reshape(2, -1).T  # each pixel's row and column
EVERYTHING = {"shift": 2.0, "rotate": 30.0, "scale": 0.3, "shear": 0.3, "alpha": 8.0, "sigma": 2.0}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.random.default_rng(0).random((6, 9 * 12)))


def drawn(count, dtype=jnp.float64, shape=SHAPE, seed=0, **asked):
    """Where `count` pictures are read: (count, pixels, 2)."""
    forward = jax.jit(bh.distort(shape, **asked).forward)
    return np.asarray(
        forward((), jnp.zeros((count, shape[0] * shape[1]), dtype), jax.random.key(seed))[1]
    )


@pytest.fixture(scope="module")
def passed(x):
    """x there and back through everything: y, source, dy, dx."""
    layer = bh.distort(SHAPE, **EVERYTHING)
    dy = jnp.asarray(np.random.default_rng(1).standard_normal(x.shape))

    @jax.jit
    def there_and_back(x, dy):
        y, source = layer.forward((), x, jax.random.key(0))
        return y, source, dy, layer.backward((), source, dy)[1]

    return there_and_back(x, dy)


def test_its_use_is_the_identity(x):
    assert bh.distort(SHAPE, **EVERYTHING).apply((), x) is x


def test_nothing_asked_nothing_changed(x):
    y, _ = jax.jit(bh.distort(SHAPE).forward)((), x, jax.random.key(0))
    np.testing.assert_allclose(y, x, atol=1e-6)


def test_it_reads_where_it_says(x, passed):
    """Against scipy's bilinear interpolation, with no ink beyond the edge."""
    y, source, _, _ = passed
    for picture, read, places in zip(x, y, source, strict=True):
        # scipy's own edge differs between pixels.
        padded = np.pad(np.asarray(picture).reshape(SHAPE), 40)
        wanted = ndimage.map_coordinates(padded, np.asarray(places.T, np.float64) + 40, order=1)
        np.testing.assert_allclose(read, wanted, atol=1e-5)


def test_gradient_goes_back_to_where_it_was_read(x, passed):
    """⟨dy, y⟩ = ⟨dx, x⟩, as for any linear map and its transpose, beyond the edge too."""
    y, _, dy, dx = passed
    np.testing.assert_allclose((dx * x).sum(1), (dy * y).sum(1), rtol=1e-10)


@pytest.mark.parametrize(
    ("asked", "matrix", "offset"),
    [
        ({"shift": 3.0}, 0.0, 3.0),
        ({"rotate": 20.0}, np.sin(np.radians(20)), 0.0),
        ({"scale": 0.5}, 1.0, 0.0),  # read from within 1/(1 + 0.5) to 1/(1 − 0.5) times as far out
        ({"shear": 0.4}, 0.4, 0.0),
    ],
)
def test_how_far_each_goes(asked, matrix, offset):
    """Fit the map to where pixels are read: A and t stray from the identity as far as was asked."""
    source = drawn(400, **asked)
    design = np.concatenate([AT - [4, 5.5], np.ones((108, 1))], 1)
    fits = np.linalg.pinv(design) @ source
    a, t = np.abs(fits[:, :2] - np.eye(2)).max((1, 2)), np.abs(fits[:, 2] - [4, 5.5]).max(1)
    assert a.max() == pytest.approx(matrix, rel=0.03, abs=1e-5)
    assert t.max() == pytest.approx(offset, rel=0.03, abs=1e-4)


def test_the_elastic_field_is_simards():
    """Away from the edges its standard deviation is α √⅓/(2 √π σ); it is smooth over σ pixels."""
    alpha, sigma, side = 34.0, 4.0, 48
    source = drawn(400, jnp.float32, (side, side), alpha=alpha, sigma=sigma)
    at = np.stack(np.mgrid[:side, :side], -1)
    u = (source.reshape(400, side, side, 2) - at)[:, 16:32, 16:32]
    assert u.std() == pytest.approx(alpha * 3**-0.5 / (2 * np.pi**0.5 * sigma), rel=0.05)
    assert np.abs(u.mean((0, 1, 2))).max() < 0.2
    neighbours = (u[:, 1:] * u[:, :-1]).mean() / u.var()
    assert neighbours == pytest.approx(np.exp(-1 / (4 * sigma**2)), abs=0.01)


@slow
def test_the_elastic_field_at_the_edges_and_from_pixel_to_pixel():
    """Its covariance is that of uniform steps, none beyond the edge, smoothed by a Gaussian."""
    alpha, sigma, count = 8.0, 2.0, 20000
    u = drawn(count, alpha=alpha, sigma=sigma) - AT
    one_step = np.zeros((108, *SHAPE))
    one_step[np.arange(108), *np.unravel_index(np.arange(108), SHAPE)] = 1
    blur = ndimage.gaussian_filter(one_step, (0, sigma, sigma), mode="constant", truncate=12)
    blur = blur.reshape(108, 108)
    wanted = alpha**2 / 3 * blur.T @ blur
    for axis in (0, 1):
        got = u[:, :, axis].T @ u[:, :, axis] / count
        np.testing.assert_allclose(got, wanted, atol=0.05 * wanted.max())
    across = u[:, :, 0].T @ u[:, :, 1] / count
    assert np.abs(across).max() < 0.05 * wanted.max()  # rows and columns are independent


def test_waves_keep_all_but_a_ten_thousandth():
    for size, sigma in ((28, 4.0), (9, 2.0), (12, 0.5), (5, 50.0)):
        distance = np.subtract.outer(np.arange(size), np.arange(size))
        blur = np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        waves, power = _waves(size, sigma), blur @ blur.T
        kept = (waves**2).sum() / (blur**2).sum()
        assert 1 - 1e-4 <= kept <= 1 + 1e-12
        np.testing.assert_allclose(waves @ waves.T, power, atol=0.011 * power.max())
    assert _waves(28, 4.0).shape == (28, 7)


def test_half_precision():
    """Places are in float32."""
    layer = bh.distort((4, 5), shift=1.0, alpha=3.0, sigma=2.0)
    for dtype, places in {
        "float16": "float32",
        "bfloat16": "float32",
        "float32": "float32",
    }.items():
        like = jax.ShapeDtypeStruct((6, 20), dtype)
        y, source = jax.eval_shape(lambda x: layer.forward((), x, jax.random.key(0)), like)
        _, dx = jax.eval_shape(lambda source, dy: layer.backward((), source, dy), source, y)
        assert (y.dtype, source.dtype, dx.dtype) == (dtype, places, dtype)
        assert y.shape == dx.shape == like.shape


def test_there_is_no_ink_far_away(x):
    far = bh.distort(SHAPE, shift=1e6, rotate=360.0, alpha=1e6)
    y, source = jax.jit(far.forward)((), x, jax.random.key(0))
    assert float(jnp.abs(y).sum()) == 0
    dx = jax.jit(far.backward)((), source, jnp.ones_like(y))[1]
    assert float(jnp.abs(dx).sum()) == 0


@slow
def test_under_vmap_as_alone(x):
    layer = bh.distort((4, 5), **EVERYTHING)
    x, seeds = x[:, :20].reshape(3, 2, 20), jnp.arange(3, dtype=jnp.uint32)
    ys, sources = jax.vmap(lambda x, seed: layer.forward((), x, jax.random.key(seed)))(x, seeds)
    _, dxs = jax.vmap(lambda source, dy: layer.backward((), source, dy))(sources, ys)
    for i in range(3):
        y, source = layer.forward((), x[i], jax.random.key(i))
        np.testing.assert_allclose(ys[i], y, rtol=1e-12)
        dx = layer.backward((), source, y)[1]
        np.testing.assert_allclose(dxs[i], dx, rtol=1e-12, atol=1e-12)


def test_each_example_and_each_key_is_different(passed):
    _, source, _, _ = passed
    assert (source[0] != source[1]).any()
    assert (drawn(6, seed=1, **EVERYTHING) != source).any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image_shape": 28}, r"image_shape should be \(height, width\).*got 28"),
        ({"image_shape": (28, 0)}, "image_shape should be at least 1, got 0"),
        ({"shift": -1}, "shift should be at least 0, got -1"),
        ({"rotate": float("inf")}, "rotate should be finite, got inf"),
        ({"scale": 1.0}, "scale should be from 0 to below 1, got 1.0"),
        ({"shear": "a"}, "shear should be a number, got 'a'"),
        ({"alpha": -3}, "alpha should be at least 0, got -3"),
        ({"sigma": 0}, "sigma should be above 0, got 0"),
    ],
)
def test_what_makes_no_sense(arguments, says):
    with pytest.raises((TypeError, ValueError), match=f"distort: {says}"):
        bh.distort(**{"image_shape": SHAPE} | arguments)


def test_rows_that_are_not_pictures(x):
    with pytest.raises(ValueError, match=r"x should have shape \(batch, 108\)"):
        bh.distort(SHAPE).forward((), x[:, :100], jax.random.key(0))
