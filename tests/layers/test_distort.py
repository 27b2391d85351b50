import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import backhand as bh
from backhand.layers.distort import _waves

SHAPE = (9, 12)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.random((6, 9 * 12)))

EVERYTHING = {"shift": 2.0, "rotate": 30.0, "scale": 0.3, "shear": 0.3, "alpha": 8.0, "sigma": 2.0}


def test_its_use_is_the_identity():
    assert bh.distort(SHAPE, **EVERYTHING).apply((), X) is X


def test_nothing_asked_nothing_changed():
    y, _ = bh.distort(SHAPE).forward((), X, jax.random.key(0))
    np.testing.assert_allclose(y, X, atol=1e-6)


def test_it_reads_where_it_says():
    """Against scipy's bilinear interpolation, with no ink beyond the edge."""
    y, source = bh.distort(SHAPE, **EVERYTHING).forward((), X, jax.random.key(0))
    for picture, read, places in zip(X, y, source, strict=True):
        padded = np.pad(np.asarray(picture).reshape(SHAPE), 40)  # scipy's own edge differs between pixels
        wanted = ndimage.map_coordinates(padded, np.asarray(places.T, np.float64) + 40, order=1)
        np.testing.assert_allclose(read, wanted, atol=1e-5)


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
    """Fit the map to where pixels are read: A and t are as far from the identity as was asked, and no farther."""
    count = 400
    _, source = bh.distort(SHAPE, **asked).forward((), jnp.zeros((count, 108)), jax.random.key(0))
    p = np.stack(np.mgrid[:9, :12], -1).reshape(-1, 2) - [4, 5.5]
    design = np.concatenate([p, np.ones((108, 1))], 1)
    fits = np.stack([np.linalg.lstsq(design, s, rcond=None)[0] for s in np.asarray(source, np.float64)])
    a, t = np.abs(fits[:, :2] - np.eye(2)).max((1, 2)), np.abs(fits[:, 2] - [4, 5.5]).max(1)
    assert a.max() == pytest.approx(matrix, rel=0.03, abs=1e-5)
    assert t.max() == pytest.approx(offset, rel=0.03, abs=1e-4)


def test_the_elastic_field_is_simards():
    """Its standard deviation away from the edges is α √⅓/(2 √π σ), and it is smooth over σ pixels."""
    alpha, sigma, side = 34.0, 4.0, 48
    layer = bh.distort((side, side), alpha=alpha, sigma=sigma)
    _, source = layer.forward((), jnp.zeros((400, side * side)), jax.random.key(0))
    at = np.stack(np.mgrid[:side, :side], -1)
    u = (np.asarray(source).reshape(400, side, side, 2) - at)[:, 16:32, 16:32]
    assert u.std() == pytest.approx(alpha * 3**-0.5 / (2 * np.pi**0.5 * sigma), rel=0.05)
    assert np.abs(u.mean((0, 1, 2))).max() < 0.2
    neighbours = (u[:, 1:] * u[:, :-1]).mean() / u.var()
    assert neighbours == pytest.approx(np.exp(-1 / (4 * sigma**2)), abs=0.01)


def test_the_elastic_field_at_the_edges_and_from_pixel_to_pixel():
    """Its covariance is that of uniform steps smoothed by a Gaussian, with no steps beyond the edge."""
    alpha, sigma, count = 8.0, 2.0, 20000
    _, source = bh.distort(SHAPE, alpha=alpha, sigma=sigma).forward(
        (), jnp.zeros((count, 108)), jax.random.key(0)
    )
    u = np.asarray(source) - np.stack(np.mgrid[:9, :12], -1).reshape(108, 2)
    one_step = np.zeros((108, *SHAPE))
    one_step[np.arange(108), *np.unravel_index(np.arange(108), SHAPE)] = 1
    blur = ndimage.gaussian_filter(one_step, (0, sigma, sigma), mode="constant", truncate=12).reshape(
        108, 108
    )
    wanted = alpha**2 / 3 * blur.T @ blur
    for axis in (0, 1):
        got = u[:, :, axis].T @ u[:, :, axis] / count
        np.testing.assert_allclose(got, wanted, atol=0.05 * wanted.max())
    assert np.abs(u[:, :, 0].T @ u[:, :, 1] / count).max() < 0.05 * wanted.max()  # rows and columns apart


def test_waves_keep_all_but_a_ten_thousandth():
    for size, sigma in ((28, 4.0), (9, 2.0), (12, 0.5), (5, 50.0)):
        distance = np.subtract.outer(np.arange(size), np.arange(size))
        blur = np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        waves = _waves(size, sigma)
        kept = (waves**2).sum() / (blur**2).sum()
        assert 1 - 1e-4 <= kept <= 1 + 1e-12
        np.testing.assert_allclose(waves @ waves.T, blur @ blur.T, atol=0.011 * (blur @ blur.T).max())
    assert _waves(28, 4.0).shape == (28, 7)


def test_half_precision_and_far_away():
    """Places are in float32; what is read from far beyond the edge is no ink."""
    for dtype in ("float16", "bfloat16", "float32"):
        x = X[:, :20].astype(dtype)
        layer = bh.distort((4, 5), shift=1.0, alpha=3.0, sigma=2.0)
        y, source = layer.forward((), x, jax.random.key(0))
        _, dx = layer.backward((), source, y)
        assert (y.dtype, source.dtype, dx.dtype) == (x.dtype, jnp.float32, x.dtype)
        assert (y.shape, dx.shape) == (x.shape, x.shape)
    far = bh.distort((4, 5), shift=1e6, rotate=360.0, alpha=1e6)
    y, source = far.forward((), X[:, :20], jax.random.key(0))
    assert float(jnp.abs(y).sum()) == 0
    assert float(jnp.abs(far.backward((), source, jnp.ones_like(y))[1]).sum()) == 0


def test_under_vmap_as_alone():
    layer = bh.distort((4, 5), **EVERYTHING)
    x, seeds = X[:, :20].reshape(3, 2, 20), jnp.arange(3, dtype=jnp.uint32)
    ys, sources = jax.vmap(lambda x, seed: layer.forward((), x, jax.random.key(seed)))(x, seeds)
    _, dxs = jax.vmap(lambda source, dy: layer.backward((), source, dy))(sources, ys)
    for i in range(3):
        y, source = layer.forward((), x[i], jax.random.key(i))
        np.testing.assert_allclose(ys[i], y, rtol=1e-12)
        np.testing.assert_allclose(dxs[i], layer.backward((), source, y)[1], rtol=1e-12, atol=1e-12)


def test_backward_is_right():
    layer = bh.distort((4, 5), **EVERYTHING)
    bh.assert_backward(layer, X[:, :20])


def test_gradient_goes_back_to_where_it_was_read():
    """⟨dy, y⟩ = ⟨dx, x⟩, as for any linear map and its transpose; ink read from beyond the edge sends none."""
    layer = bh.distort(SHAPE, **EVERYTHING)
    y, source = layer.forward((), X, jax.random.key(0))
    dy = jnp.asarray(RNG.standard_normal(y.shape))
    _, dx = layer.backward((), source, dy)
    np.testing.assert_allclose((dx * X).sum(1), (dy * y).sum(1), rtol=1e-10)


def test_each_example_and_each_key_otherwise():
    layer = bh.distort(SHAPE, **EVERYTHING)
    _, source = layer.forward((), X, jax.random.key(0))
    _, other = layer.forward((), X, jax.random.key(1))
    assert (source[0] != source[1]).any()
    assert (source != other).any()


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


def test_rows_that_are_no_pictures():
    with pytest.raises(ValueError, match=r"x should have shape \(batch, 108\)"):
        bh.distort(SHAPE).forward((), X[:, :100], jax.random.key(0))
