# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # From data to a deep net, by hand
#
# A neural net learns by asking one question, over and over: *if I change this number a little, how
# does the error change?* The answer is a derivative, the chain rule finds it, and nothing about it
# is magic. In this lesson you write the pieces by hand, see that backhand's are the same, and put
# them together until a net of several layers bends a boundary around data that no line can part.
#
# You need to know what a derivative and a matrix product are, and to read Python. Run the cells
# from top to bottom (in Jupyter or VS Code this file opens as a notebook; `make lesson` executes
# it). Every number is printed by the program above it, so change something and see.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import make_moons

import backhand as bh
from backhand import data, plots

SEED = 1  # of everything random
KEY = jax.random.key(SEED)
np.set_printoptions(precision=4, suppress=True)


def apart(a, b):  # the largest difference between the entries of two arrays
    return float(jnp.abs(jnp.asarray(a) - b).max())


# %% [markdown]
# ## 1. The learning problem
#
# We are given *examples*: pairs of an input x and a target y. We want a function f that gives the
# right y for inputs it has **not** seen. So we choose a family of functions with *parameters* θ, a
# number that says how wrong f is, the *loss* L, and look for the θ that makes it small:
#
#     minimise   L(θ) = 1/N Σₙ loss(f(xₙ; θ), yₙ)
#
# Whether f is then right on other inputs, too, examples kept aside tell us: the *validation set*.
#
# Ours are a hundred points in the plane, of two classes. To make it realistic, somebody mislabelled
# a fifth of them: those labels are flipped. Eighty points are to train on, twenty to validate.

# %%
dataset = data.lesson(size=100, noise=0.2, seed=SEED)
(train_x, train_y), (val_x, val_y) = dataset["train"], dataset["validation"]
print("train", train_x.shape, train_y.shape, " validation", val_x.shape, val_y.shape)
print("the first three examples:")
for point, label in zip(train_x[:3], train_y[:3], strict=True):
    print(f"  x = ({point[0]:+.2f}, {point[1]:+.2f})   y = {label}")


# %%
def points(axes, x, y, label="", **look):
    """The two classes, told apart by colour and by shape."""
    for k, marker in enumerate("os"):
        axes.plot(*x[y == k].T, marker, color=f"C{k}", label=f"{label}class {k}", **look)
    axes.set(xlabel="feature 1", ylabel="feature 2")


def examples(axes):
    points(axes, train_x, train_y, markersize=5)
    points(axes, val_x, val_y, "validation, ", markersize=6, fillstyle="none")
    axes.set_title("the examples")
    axes.legend(fontsize=8)


plots.draw(examples, "A scatter plot of training and validation points; the two classes overlap.")

# %% [markdown]
# The simplest f for two classes is a line across the plane: w₁x₁ + w₂x₂ + b is positive on one side
# of it and negative on the other. Here is a guess, and the share that it gets wrong.

# %%
w, b = np.array([1.0, 0.0]), 0.0
predicted = (train_x @ w + b > 0).astype(int)
print(f"w = {w}, b = {b}: {np.mean(predicted != train_y):.0%} of the training points are wrong")

# %% [markdown]
# > **Try.** Find a better w and b by hand. How do you know in which direction to change them? And
# > why would 0 % wrong on these points be a bad sign?

# %% [markdown]
# ## 2. Losses: how wrong is wrong?
#
# When the target is a number, two losses are as old as statistics. With the error e = ŷ − y:
#
#     absolute   |e|         every unit of error counts alike
#     squared     e²         large errors count more
#
# They do not only differ in taste. Ask for the single number that is nearest to all of these five:

# %%
targets = np.array([1.0, 2.0, 3.0, 4.0, 40.0])
candidates = np.linspace(0, 40, 4001)
errors = candidates[:, None] - targets  # a row for each candidate
for name, each in {"absolute error": np.abs(errors), "squared error": errors**2}.items():
    print(f"the {name:<14} is smallest at {candidates[each.mean(1).argmin()]:.2f}")
print(f"the median is {np.median(targets):.2f}, the mean {targets.mean():.2f}")

# %% [markdown]
# One outlier drags the squared error's answer far away from the other four. In backhand a loss is a
# pair of functions: `forward` gives the value, and *residuals*, what it learned on the way;
# `backward` makes the derivative of them: 2e/N for the squared error, ±1/N for the absolute one.

# %%
prediction, target = np.array([1.0, 2.5, 7.0], np.float32), np.array([1.5, 2.0, 3.0], np.float32)
losses = {"absolute": bh.absolute_error, "squared": bh.squared_error, "Huber": bh.huber(1.0)}
for name, loss in losses.items():
    value, residuals = loss.forward(prediction, target)
    print(f"{name:<10} value {value:.3f}   derivative {loss.backward(residuals)}")

# %% [markdown]
# When the target is a class, what we care about is whether we are right. The *zero-one loss* is the
# share of examples that are wrong, and it has a flaw that no patience can overcome. Turn the line
# from section 1 all the way round and watch: it goes in steps. Between two steps nothing changes,
# so the derivative is 0 and says nothing about where to go.
#
# The cure is to predict not a class but a *probability*, p = σ(w·x + b) with σ(z) = 1/(1 + e⁻ᶻ),
# and to measure how surprised it is by the truth: −log of the probability it gave to the right
# class. This is the *cross-entropy*, and it has a slope everywhere.

# %%
degrees = np.linspace(0, 360, 721)
directions = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
z = 2 * train_x @ directions  # a column for each direction
right = np.where(train_y[:, None] == 1, z, -z)  # positive where the class is right
zero_one = (right <= 0).mean(0)
cross_entropy = np.log1p(np.exp(-right)).mean(0)


def turning(axes):
    axes.plot(degrees, cross_entropy, label="cross-entropy, nats")
    axes.plot(degrees, zero_one, label="zero-one, share wrong")
    axes.set(title="turning the line", xlabel="direction of w, degrees", ylabel="loss")
    axes.set(xticks=range(0, 361, 90), ylim=(0, 1.4 * cross_entropy.max()))
    axes.legend(loc="upper right")


plots.draw(
    turning, "Two losses as the line turns: zero-one goes in steps, cross-entropy is smooth."
)

# %% [markdown]
# > **Try.** Zoom in: plot both between two angles a degree apart. What would *walk downhill* mean
# > for each of them? `make losses` draws all losses, with their derivatives below them.

# %% [markdown]
# ## 3. The linear layer
#
# A layer takes a batch of N examples, one a row, and gives one row back for each. The *linear*
# layer turns rows of i numbers into rows of j numbers:
#
#     y = x w + b          x (N, i)   w (i, j)   b (j,)   y (N, j)
#
# In backhand a layer is four functions. `init` makes its parameters from a random key, and `apply`
# uses them. `forward` and `backward` are for training, and come in a moment. No layer keeps
# anything to itself: parameters go in, results come out.

# %%
layer = bh.linear(3)
params = layer.init(KEY, train_x)
print("w", params.w.shape, " b", params.b.shape)
by_hand = train_x @ params.w + params.b
print("y", by_hand.shape, "  ours − backhand's", apart(by_hand, layer.apply(params, train_x)))

# %% [markdown]
# Now the question of the lesson: how does the loss change if one of these numbers does? Suppose
# somebody tells us dy, short for ∂L/∂y: how the loss changes with each *output*. An entry of w
# reaches the loss through every row it was used in, and the chain rule adds up all the ways:
#
#     dwᵢⱼ = Σₙ xₙᵢ dyₙⱼ        dw = xᵀ dy
#     dbⱼ  = Σₙ dyₙⱼ            b was copied to every row
#     dxₙᵢ = Σⱼ dyₙⱼ wᵢⱼ        dx = dy wᵀ
#
# That is all of `backward`. A derivative is a promise about a nudge, and a nudge can check it:

# %%
y_out, residuals = layer.forward(params, train_x, KEY)
dy = jax.random.normal(KEY, y_out.shape)  # anything will do
dparams, dx = layer.backward(params, residuals, dy)
print("dw − xᵀ dy", apart(dparams.w, train_x.T @ dy), "  dx − dy wᵀ", apart(dx, dy @ params.w.T))

nudge = 0.01
nudged = params._replace(w=params.w.at[1, 2].add(nudge))
change = ((layer.apply(nudged, train_x) - y_out) * dy).sum() / nudge
print(f"nudging w[1, 2]: the loss changes by {change:.4f} a unit")
print(f"what dw[1, 2] promised:              {dparams.w[1, 2]:.4f}")

# %% [markdown]
# > **Try.** Nudge an entry of b, then one of x. Why does dw keep its promise exactly here, whatever
# > the nudge, while for most functions it does so only for small ones?

# %% [markdown]
# ## 4. Softmax: from scores to probabilities
#
# A linear layer with one output a class gives each class a score, any number at all. *Softmax*
# makes probabilities of them, positive and adding up to one, without changing their order:
#
#     pᵢ = exp(zᵢ)/Σₖ exp(zₖ)


# %%
def softmax_by_hand(z):
    return jnp.exp(z) / jnp.exp(z).sum(1, keepdims=True)


scores = jnp.array([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0], [1000.0, 0.0, 0.0]])
print("by hand", softmax_by_hand(scores), "backhand's", bh.softmax.apply((), scores), sep="\n")

# %% [markdown]
# The formula is right, and the first attempt at a program is not: exp(1000) is more than a float
# can hold, and ∞/∞ is NaN. Taking the largest score away from all of a row first changes nothing
# (numerator and denominator shrink alike), and nothing can overflow any more.
#
# Each probability depends on *every* score of its row: ∂pᵢ/∂zⱼ = pᵢ(δᵢⱼ − pⱼ), with δᵢⱼ = 1 if i
# = j, else 0. Backward multiplies dp by that matrix, without building it: dz = p (dp − Σ p dp).

# %%
p, residuals = bh.softmax.forward((), scores[:1], KEY)
dp = jnp.array([[0.3, -0.2, 0.9]])
_, dz = bh.softmax.backward((), residuals, dp)
jacobian = jnp.diag(p[0]) - jnp.outer(p[0], p[0])
print("by the matrix  ", dp[0] @ jacobian)
print("without it     ", dz[0])
print("all scores up by one, p changes by", apart(bh.softmax.apply((), scores[:1] + 1), p))

# %% [markdown]
# > **Try.** What does backward give for a dp of all ones, and why must it?

# %% [markdown]
# ## 5. Cross-entropy, and two layers that belong together
#
# With a probability for each class, the loss is the mean of −log p of the right one. Here is the
# chain rule across two pieces: the loss's backward gives dp, and softmax's makes dz of it.

# %%
labels = np.array([0, 2])
z = jnp.array([[2.0, 1.0, -1.0], [0.5, 0.0, 0.1]])
p, softmax_residuals = bh.softmax.forward((), z, KEY)
value, loss_residuals = bh.cross_entropy.forward(p, labels)
dp = bh.cross_entropy.backward(loss_residuals)
_, dz = bh.softmax.backward((), softmax_residuals, dp)

print(f"L by hand {-np.log(p[[0, 1], labels]).mean():.4f}, backhand's {value:.4f}")
print("dz", dz, "(p − what was so)/N", (p - jnp.eye(3)[labels]) / 2, sep="\n")

# %% [markdown]
# The two derivatives collapse into something a child could remember: **what was predicted, less
# what was so**. It also tells us to compute the two at once, from the scores, or *logits*. That is
# `softmax_cross_entropy`, and it is not only shorter. See what happens to a prediction that is
# badly wrong, when the right class has the logit z and the other has 0:

# %%
print("     z   two steps: L      dz      at once: L      dz")
for logit in (-1.0, -10.0, -100.0, -1000.0):
    z, label = jnp.array([[logit, 0.0]]), np.array([0])
    p, softmax_residuals = bh.softmax.forward((), z, KEY)
    value, loss_residuals = bh.cross_entropy.forward(p, label)
    _, dz = bh.softmax.backward((), softmax_residuals, bh.cross_entropy.backward(loss_residuals))
    fused, residuals = bh.softmax_cross_entropy.forward(z, label)
    fused_dz = bh.softmax_cross_entropy.backward(residuals)
    print(f"{logit:6.0f} {value:14.3f} {dz[0, 0]:+7.3f} {fused:15.3f} {fused_dz[0, 0]:+7.3f}")

# %% [markdown]
# Where p becomes too small for a float, its logarithm is lost: the loss stands still, the
# derivative is 0, and the worst mistakes teach nothing. At once, there is no p to lose, so from
# here on our nets end in logits.
#
# > **Try.** At which z does it happen? Why just there? (`make losses` has the answer, and `make
# > losses PRECISION=float16` another one.)

# %% [markdown]
# ## 6. The computational graph
#
# A net is a chain of such pieces, each with an input, an output, and perhaps parameters. The
# *computational graph* says what is computed from what. Forward, values go along it from left to
# right; backward, gradients come back the same ways. Each piece needs only its own derivative.

# %%
net, loss = bh.serial(bh.linear(3), bh.tanh, bh.linear(2)), bh.softmax_cross_entropy
params = net.init(KEY, train_x)
print(bh.summary(net, train_x))

# %% [markdown]
# `explain` runs the net on a few examples and follows the graph both ways. Each box is a node; the
# solid arrows go forward. The dashed ones come back, each with its piece of the chain rule.

# %%
training = bh.Training(net, loss, optax.sgd(0.5))  # what is trained; section 9 does so
explained = bh.explain(training, params, train_x[:4], train_y[:4])
boxes = [
    plots.GraphNode(node.name, node.inputs, node.kind == "parameter", node.formula, "", node.chain)
    for node in explained.nodes
]
plots.computational_graph(boxes, "The net on four examples")

# %% [markdown]
# The same in numbers: the norm of every value, of every gradient, by hand and by JAX's autodiff,
# and what the chain rule says in words. Section 8 goes this way on foot.

# %%
print(explained)

# %% [markdown]
# `tanh` stands between the two linear layers for a reason: without it they would be one. Two matrix
# products in a row are a matrix product.

# %%
(w1, b1), _, (w2, b2) = params
two_layers = (train_x @ w1 + b1) @ w2 + b2
one_layer = train_x @ (w1 @ w2) + (b1 @ w2 + b2)
print("two linear layers and one differ by", apart(two_layers, one_layer))

# %% [markdown]
# > **Try.** Draw the graph of L = (w x + b − y)² with a node for every +, − and ×, and walk it
# > backward with w = 2, x = 3, b = 1, y = 5.

# %% [markdown]
# ## 7. Gradient descent
#
# The gradient points uphill, and its opposite is the way down: w ← w − η dL/dw. How far to go is
# the *learning rate* η. The simplest of all hills, L(w) = (w − 3)² with dL/dw = 2(w − 3), shows all
# that can happen:


# %%
def descend(rate, w=0.0):
    """How far w is from 3 before and after each of 20 steps."""
    distances = [abs(w - 3)]
    for _ in range(20):
        w = w - rate * 2 * (w - 3)
        distances.append(abs(w - 3))
    return distances


rates = (0.03, 0.3, 0.9, 1.05)


def descents(axes):
    for rate in rates:
        axes.plot(descend(rate), label=f"η = {rate}")
    axes.set(title="gradient descent", xlabel="step", ylabel="|w − 3|", yscale="log")
    axes.set_xticks(range(0, 21, 5))
    axes.legend()


for rate in rates:
    print(f"η = {rate:<5} after 20 steps, |w − 3| is {descend(rate)[-1]:.2g}")
plots.draw(descents, "Distance from the minimum by step, on a logarithmic axis: one rate diverges.")

# %% [markdown]
# Too small a rate is slow, too large a one diverges. Between the two there is room, and finding it
# is most of what people call tuning.
#
# Our loss is a mean over N examples, and so is its gradient. The mean over some of them, a
# *minibatch*, is an estimate of it that costs less. Drawn from a random permutation, the
# minibatches of a pass over the data (an *epoch*) average to the whole: their errors cancel.

# %%
line, line_params = bh.linear(2), bh.linear(2).init(KEY, train_x)
# (params, x, y, key) -> (loss, gradient); section 8 looks inside.
gradient = jax.jit(bh.manual(line, loss))

_, whole = gradient(line_params, train_x, train_y, KEY)
batches = np.random.default_rng(SEED).permutation(len(train_x)).reshape(5, 16)
parts = [gradient(line_params, train_x[rows], train_y[rows], KEY)[1] for rows in batches]
slopes = [float(part.w[0, 0]) for part in parts]
print("dw[0, 0] of five minibatches:", *(f"{slope:+.3f}" for slope in slopes))
print(f"their mean {np.mean(slopes):+.4f}, of the whole {whole.w[0, 0]:+.4f}")

# %% [markdown]
# Now all of it on the points of section 1: a line, cross-entropy, a hundred steps downhill.

# %%
for number in range(101):
    value, dparams = gradient(line_params, train_x, train_y, KEY)
    if number % 20 == 0:
        wrong = bh.zero_one(line.apply(line_params, train_x), train_y)
        print(f"step {number:3}   cross-entropy {value:.4f} nats   wrong {wrong:.1%}")
    line_params = jax.tree.map(lambda p, d: p - 0.5 * d, line_params, dparams)

# %% [markdown]
# > **Try.** Which η makes this diverge? Take the steps with minibatches instead, and look at the
# > loss after each: is it still falling every time? Does it have to?

# %% [markdown]
# ## 8. Back-propagation
#
# Here it is, for the net of section 6, one line a layer. Forward, every layer keeps what its
# backward will need. Backward, each takes dy from the layer after it, and gives dx to the layer
# before it, and the gradient of its own parameters to us.

# %%
first, between, last = net.parts
p1, _, p2 = params

h, r1 = first.forward(p1, train_x, KEY)
a, r2 = between.forward((), h, KEY)
z, r3 = last.forward(p2, a, KEY)
value, r4 = loss.forward(z, train_y)

dz = loss.backward(r4)
dp2, da = last.backward(p2, r3, dz)
_, dh = between.backward((), r2, da)
dp1, dx = first.backward(p1, r1, dh)

gradients = {"dz": dz, "dw2": dp2.w, "db2": dp2.b, "da": da, "dh": dh, "dw1": dp1.w, "db1": dp1.b}
for name, array in gradients.items():
    print(f"{name:<4} {array.shape!s:<9} largest entry {jnp.abs(array).max():.4f}")

# %% [markdown]
# `bh.manual(net, loss)` is this, for any net: `serial`'s backward is its forward's loop, reversed.
# JAX can also find the gradient by itself, from the forward alone, and backhand asks it only to
# compare. So we do, in 64 bits, where what is equal also looks equal.

# %%
with jax.enable_x64(True):
    x64 = train_x.astype(np.float64)
    params64 = net.init(jax.random.key(SEED), x64)
    arguments = (params64, x64, train_y, jax.random.key(0))
    _, by_hand = jax.jit(bh.manual(net, loss))(*arguments)
    _, by_jax = jax.jit(bh.autodiff(net, loss))(*arguments)
    differences = jax.tree.map(apart, by_hand, by_jax)
print("largest differences, by hand − by jax.grad:")
for part, difference in zip(net.parts, differences, strict=True):
    print(f"  {part.name:<10}", difference or "no parameters")

# %% [markdown]
# > **Try.** Leave out the line of `tanh` in the backward pass above (let dh = da). Nothing fails,
# > nothing warns, training may even continue. How would you find such a mistake? See section 10.

# %% [markdown]
# ## 9. The training loop
#
# A *training* says what is trained: a net, the loss it should lower, and an optimiser. A step takes
# a *state* (parameters, what the optimiser remembers, the number of steps, a random key) and a
# minibatch, and gives the next state. Nothing changes in place. The optimiser is one of optax's:
# plain gradient descent is `optax.sgd`; Adam fits its steps to each parameter's own gradients.

# %%
training = bh.Training(line, loss, optax.sgd(0.5))
state, step = bh.init_state(training, KEY, train_x), bh.make_step(training)

order = np.random.default_rng(SEED)
for number in range(1, 4):
    values = []
    for rows in order.permutation(len(train_x)).reshape(5, 16):
        state, value = step(state, train_x[rows], train_y[rows])
        values.append(float(value))
    print(f"epoch {number}   mean loss of its minibatches {np.mean(values):.4f}")

# %% [markdown]
# `make_epoch` compiles such an epoch as a whole, and `fit` runs many of them, scores the net after
# each on the training and the validation set, and checks everything before the first step.

# %%
state, history = bh.fit(
    training, (train_x, train_y), key=KEY, epochs=60, batch_size=16,
    validation=(val_x, val_y), metrics=[bh.accuracy], score_train=True,
)  # fmt: skip
print(f"right after 60 epochs: {history['train_accuracy'][-1]:.1%} of train")
print(f"                       {history['val_accuracy'][-1]:.1%} of validation")
curves = {"train": history["train_loss"], "validation": history["val_loss"]}
plots.curves(curves, "a line", "cross-entropy, nats")


# %%
def boundary(title, net, params, x, y):
    """Where the net says which class, the surer the darker; its boundary; the points."""
    low, high = x.min(0) - 0.5, x.max(0) + 0.5
    across, up = np.meshgrid(*np.linspace(low, high, 80).T)
    grid = np.stack([across, up], axis=-1).astype(np.float32)
    p = jax.nn.softmax(net.apply(params, grid.reshape(-1, 2))).reshape(80, 80, 2)
    window, names = (low[0], high[0], low[1], high[1]), ("feature 1", "feature 2")
    plane = plots.Plane(window, {"train": (x, y)}, ("class 0", "class 1"), names)
    right = float(bh.accuracy(net.apply(params, x), y))
    return plots.boundary(np.asarray(p), plane, f"{title}: {right:.1%} right")


boundary("a line", line, state.params, train_x, train_y)

# %% [markdown]
# > **Try.** With a fifth of the labels flipped, how many could be right at best? What do the points
# > on the wrong side have in common? Replace `optax.sgd(0.5)` with `optax.adam(0.05)`.

# %% [markdown]
# ## 10. Composing layers
#
# Layers are made of layers. `serial` puts them one after another, `parallel` adds up what several
# make of the same input, and `residual` adds a layer's input to its output. All three are layers,
# with a backward of their own, which two facts explain: the derivative of a composition is the
# product of derivatives, from the last to the first; and gradients of copies of a value are summed.
# So what `residual` sends back is dy plus what its inner layer makes of dy.

# %%
block = bh.residual(bh.serial(bh.linear(2), bh.tanh))
both = bh.parallel(bh.linear(2), block)
print(bh.summary(bh.serial(block, both), train_x))

# %% [markdown]
# And you can write your own. This one scales every column by a number of its own, y = x s. Its
# backward has a mistake, one that is made every day. `check_backward` compares it with `jax.vjp` of
# the forward, at several batch sizes and with random dy, and says what it finds:


# %%
def scale():
    """The layer y = x s, row by row, with one s a column."""

    def init(key, x):
        return jnp.ones(x.shape[1], x.dtype)

    def forward(s, x):
        return x * s, x  # y, and what backward will need

    def backward(s, x, dy):
        ds = (x * dy).mean(0)
        dx = dy * s
        return ds, dx

    return bh.deterministic(init, forward, backward)


inputs = jax.ShapeDtypeStruct((8, 3), "float32")
print(bh.check_backward(scale(), inputs))

# %% [markdown]
# s was used in every row, so all rows' gradients are *summed*. The mean's 1/N is in the loss, once.


# %%
def backward(s, x, dy):
    ds = (x * dy).sum(0)
    dx = dy * s
    return ds, dx


print(bh.check_backward(scale()._replace(backward=backward), inputs))

# %% [markdown]
# > **Try.** Write `sine`, y = sin(x), and have it checked; then with a minus too many. Write a
# > layer that computes x², and put it before the line: which boundaries can the net draw then?

# %% [markdown]
# ## 11. Nets of several layers
#
# Two moons, one inside the other: no line can part them.

# %%
moons_x, moons_y = make_moons(300, noise=0.15, random_state=SEED)
moons_x, moons_y = moons_x.astype(np.float32), moons_y.astype(np.int32)


def train(net, x, y, epochs, rate=0.02, batch_size=32, **settings):
    """The net's parameters after training by hand-written backprop with Adam, and its history."""
    state, history = bh.fit(
        bh.Training(net, loss, optax.adam(rate)), (x, y), key=KEY, epochs=epochs,
        batch_size=batch_size, metrics=[bh.accuracy], score_train=True, **settings,
    )  # fmt: skip
    return state.params, history


line_params, line_history = train(line, moons_x, moons_y, epochs=60)
print(f"a line: {line_history['train_accuracy'][-1]:.1%} right")
boundary("a line", line, line_params, moons_x, moons_y)

# %% [markdown]
# In a hidden layer each tanh unit draws a soft line of its own, and the next layer combines them.

# %%
deep = bh.serial(bh.linear(16), bh.tanh, bh.linear(16), bh.tanh, bh.linear(2))
deep_params, deep_history = train(deep, moons_x, moons_y, epochs=60)
print(f"two hidden layers of 16: {deep_history['train_accuracy'][-1]:.1%} right")
boundary("two hidden layers", deep, deep_params, moons_x, moons_y)

# %% [markdown]
# > **Try.** How few hidden units will do? What becomes of the boundary with `bh.relu` in the place
# > of `bh.tanh`? Swap the moons for `x₁ x₂ > 0` (exclusive or).

# %% [markdown]
# ## 12. Overfitting
#
# A net with room enough can learn its examples by heart, accidents and all. Here the moons are so
# blurred that they overlap, we have few of them to train on, and a net with far more parameters
# than examples. As this is a classroom, there are many more moons to validate on, and a third set,
# the *test set*, that no choice depends on.

# %%
x, y = make_moons(1560, noise=0.35, random_state=SEED)
x, y = x.astype(np.float32), y.astype(np.int32)
few, validation, test = (x[:60], y[:60]), (x[60:560], y[60:560]), (x[560:], y[560:])

big = bh.serial(bh.linear(64, bh.he), bh.relu, bh.linear(64, bh.he), bh.relu, bh.linear(2))
size = sum(leaf.size for leaf in jax.tree.leaves(big.init(KEY, x)))
print(f"{size:,} parameters, {len(few[0])} examples")

settings = {"rate": 0.005, "batch_size": 20, "validation": validation}
big_params, big_history = train(big, *few, epochs=400, **settings)
curves = {"train": big_history["train_loss"], "validation": big_history["val_loss"]}
plots.curves(curves, "too much room", "cross-entropy, nats", log=True)

# %%
boundary("learned by heart", big, big_params, *few)

# %% [markdown]
# The training loss goes down and down, and that is all it knows. The validation loss has a lowest
# point early on, and then rises: what is learned from there on is true of these examples and of no
# others. *Early stopping* goes back to the best epoch once the validation loss has not improved for
# `patience` epochs.

# %%
stopped_params, stopped_history = train(big, *few, epochs=400, patience=30, **settings)
line_params, line_history = train(line, *few, epochs=100, **settings)

print(f"{'':<20} epochs   train wrong   test wrong   train loss   test loss")
for name, each, its_params, its_history in [
    ("a line", line, line_params, line_history),
    ("big, to the end", big, big_params, big_history),
    ("big, stopped early", big, stopped_params, stopped_history),
]:
    training = bh.Training(each, loss, optax.adam(0.005))
    on_few, on_test = (bh.evaluate(training, its_params, *xy, [bh.zero_one]) for xy in (few, test))
    wrongs = f"{on_few['zero_one']:13.1%} {on_test['zero_one']:12.1%}"
    ends = f"{on_few['loss']:12.3f} {on_test['loss']:11.3f}"
    print(f"{name:<20} {len(its_history['loss']):6} {wrongs} {ends}")

# %%
boundary("stopped early", big, stopped_params, *few)

# %% [markdown]
# The test loss is about how *sure* the net is, too: learned by heart, it is sure of its mistakes.
#
# > **Try.** Give the big net ten times as many examples to train on. Change `SEED` above and run
# > all again: which of the differences stay? We chose the best epoch *by* the validation set; why
# > is its loss there no longer a fair estimate of the loss on new examples?

# %% [markdown]
# ## Where to go from here
#
# - `make lab` trains nets of one to three layers on handwritten digits, by hand and by autodiff.
# - `make planar` and `make regression` show boundaries and curves as they bend.
# - `make explain` walks through backprop number by number; `make overfitting` varies room and data.
# - `make verify` checks every backward here; `python -m backhand.verify --help` checks yours.
# - Then read `src/backhand/layers/linear.py`, and `combinators.py`: you know now what they do.
#
# Three problems to end with.
#
# 1. **A layer.** Write layer normalisation: each row less its mean, over its standard deviation.
#    Derive dx on paper, and have it checked.
# 2. **An optimiser.** Write gradient descent with momentum as a pure function of (params, velocity,
#    gradient). Does it get down the hill of section 7 faster?
# 3. **A loss.** Label smoothing asks for probability 1 − ε of the right class and ε/(K − 1) of each
#    other. Write its forward and its backward. What is dz?
