import jax
import jax.numpy as jnp
import pytest

from backhand import linear, parallel, relu, residual, serial, summary, tanh


def test_counts_shapes_and_bytes():
    net = serial(linear(4), relu, residual(serial(linear(4), tanh)), parallel(linear(2), linear(2)))
    table = summary(net, jax.ShapeDtypeStruct((32, 3), jnp.float32))
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["layer", "output", "parameters", "bytes"]
    assert rows[2:] == [
        ["serial", "float32[32,2]", "56", "224"],
        ["linear(4)", "float32[32,4]", "16", "64"],
        ["relu", "float32[32,4]", "0", "0"],
        ["residual", "float32[32,4]", "20", "80"],
        ["serial", "float32[32,4]", "20", "80"],
        ["linear(4)", "float32[32,4]", "20", "80"],
        ["tanh", "float32[32,4]", "0", "0"],
        ["parallel", "float32[32,2]", "20", "80"],
        ["linear(2)", "float32[32,2]", "10", "40"],
        ["linear(2)", "float32[32,2]", "10", "40"],
    ]
    assert "      linear(4)" in table  # three combinators deep
    assert len({len(line) for line in table.splitlines()}) == 1


def test_bad_input():
    with pytest.raises(TypeError, match="should be a Layer, got 3"):
        summary(3, jnp.zeros((1, 3)))
    with pytest.raises(TypeError, match="x should be an array, got list"):
        summary(linear(2), [[1.0]])


def test_one_layer_and_another_dtype():
    table = summary(linear(2), jnp.zeros((1, 3), jnp.bfloat16))
    assert table.splitlines()[-1].split() == ["linear(2)", "bfloat16[1,2]", "8", "16"]
