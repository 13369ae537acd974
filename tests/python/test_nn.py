"""omninorm.nn beside torch.nn: state dicts, outputs, gradients, training, tracing."""

import copy

import omninorm.nn as ours
import pytest
import torch
import torch.nn as theirs

# Name, constructor arguments, x.
PAIRS = [
    ("LayerNorm", ([6, 5],), {}, (4, 6, 5)),
    ("LayerNorm", (12,), {"bias": False, "eps": 1e-3}, (4, 12)),
    ("LayerNorm", (12,), {"elementwise_affine": False}, (4, 12)),
    ("RMSNorm", (12,), {}, (3, 4, 12)),
    ("RMSNorm", (12,), {"eps": 1e-3, "elementwise_affine": False}, (4, 12)),
    ("GroupNorm", (3, 6), {}, (2, 6, 4, 5)),
    ("GroupNorm", (1, 6), {"affine": False}, (2, 6, 4)),
    ("BatchNorm1d", (5,), {}, (7, 5)),
    ("BatchNorm1d", (5,), {"momentum": None}, (3, 5, 4)),
    ("BatchNorm2d", (6,), {"momentum": 0.3}, (2, 6, 4, 5)),
    ("BatchNorm2d", (6,), {"track_running_stats": False, "affine": False}, (2, 6, 4, 5)),
    ("BatchNorm3d", (4,), {}, (2, 4, 2, 3, 2)),
    ("InstanceNorm1d", (5,), {}, (3, 5, 6)),
    ("InstanceNorm1d", (5,), {}, (5, 6)),  # one image without its dimension
    ("InstanceNorm2d", (6,), {"affine": True, "track_running_stats": True}, (2, 6, 4, 5)),
    ("InstanceNorm3d", (4,), {"affine": True}, (2, 4, 2, 3, 2)),
]
IDS = [f"{name}{args}{kwargs}".replace(" ", "") for name, args, kwargs, _ in PAIRS]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pair(name, args, kwargs):
    """Theirs with random parameters, and ours with its state dict."""
    reference = getattr(theirs, name)(*args, **kwargs)
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter)
    module = getattr(ours, name)(*args, **kwargs)
    assert isinstance(module, type(reference))
    module.load_state_dict(reference.state_dict(), strict=True)
    return module, reference


def outputs_and_gradients(module, x, dy):
    x = x.clone().requires_grad_()
    y = module(x)
    return (y, *torch.autograd.grad(y, [x, *module.parameters()], dy))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), PAIRS, ids=IDS)
def test_the_state_dict_and_the_outputs_are_torchs(name, args, kwargs, shape, dtype):
    module, reference = (m.to(dtype) for m in pair(name, args, kwargs))
    for training in (True, True, False):
        module.train(training)
        reference.train(training)
        x, dy = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
        results = [outputs_and_gradients(m, x, dy) for m in (module, reference)]
        for one, two in zip(*results, strict=True):
            torch.testing.assert_close(one, two, **CLOSE)
        state = reference.state_dict()
        assert list(module.state_dict()) == list(state)
        for key, value in module.state_dict().items():
            torch.testing.assert_close(value, state[key], **CLOSE)
    reference.load_state_dict(module.state_dict(), strict=True)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), PAIRS, ids=IDS)
def test_a_module_in_bfloat16(name, args, kwargs, shape):
    """Within bfloat16's rounding of torch's float32 result from the same values."""
    module, reference = pair(name, args, kwargs)
    module.bfloat16()
    for one, two in zip(module.parameters(), reference.parameters(), strict=True):
        two.data.copy_(one.data)
    x = torch.randn(shape).bfloat16()
    got, expected = module(x), reference(x.float())
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), expected, rtol=2.0**-8, atol=1e-5)


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), PAIRS, ids=IDS)
def test_copies_and_prints(name, args, kwargs, shape):
    module = getattr(ours, name)(*args, **kwargs)
    assert repr(module) == repr(getattr(theirs, name)(*args, **kwargs))
    torch.testing.assert_close(copy.deepcopy(module)(torch.ones(shape)), module(torch.ones(shape)))


def test_further_options():
    x = torch.randn(3, 4, 5)
    plain, module = ours.GroupNorm(2, 4), ours.GroupNorm(2, 4, weight_offset=1.0, activation="relu")
    assert torch.equal(module.weight, torch.zeros(4))
    assert torch.equal(module(x), plain(x).relu())
    assert "weight_offset=1.0, activation='relu'" in repr(module)
    gemma = ours.RMSNorm(5, weight_offset=1.0)
    assert torch.equal(gemma.weight, torch.zeros(5)) and torch.equal(gemma(x), ours.RMSNorm(5)(x))
    llama = ours.RMSNorm(64, cast_policy="before_weight").bfloat16()
    torch.nn.init.normal_(llama.weight)
    x = torch.randn(64, 64).bfloat16()
    expected = torch.ops.omninorm.rms_norm(
        x, [64], llama.weight, eps=torch.finfo(torch.float32).eps, cast_policy="before_weight"
    )
    assert torch.equal(llama(x), expected)


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
def test_add_norms(kind):
    module, reference = getattr(ours, "Add" + kind)(8), getattr(theirs, kind)(8)
    module.load_state_dict(reference.state_dict())
    x, residual = torch.randn(3, 8), torch.randn(3, 8)
    y, total = module(x, residual)
    assert torch.equal(total, x + residual)
    torch.testing.assert_close(y, reference(total), **CLOSE)


def test_grouped_layer_norm():
    x = torch.randn(2, 12, 3, 4)
    module = ours.GroupedLayerNorm(3, 12, per_position=True)
    groups = x.movedim(1, -1).unflatten(-1, (3, 4))
    expected = theirs.functional.layer_norm(groups, [4]).flatten(-2).movedim(-1, 1)
    torch.testing.assert_close(module(x), expected, **CLOSE)
    assert list(module.state_dict()) == ["weight", "bias"]
    assert not ours.GroupedLayerNorm(3, 12, affine=False).state_dict()


def test_errors():
    with pytest.raises(
        ValueError, match=r"^\[group_norm\] expected num_groups to divide 4 .* got 0"
    ):
        ours.GroupNorm(0, 4)
    with pytest.raises(ValueError, match=r"^\[grouped_layer_norm\] expected groups to divide"):
        ours.GroupedLayerNorm(5, 12)
    with pytest.raises(ValueError, match=r"^\[group_norm\] expected activation"):
        ours.GroupNorm(2, 4, activation="tanh")(torch.randn(2, 4))
    with pytest.raises(ValueError, match="expected 4D input"):
        ours.BatchNorm2d(4)(torch.randn(2, 4))


def network(nn):
    """A norm of each kind in one small network."""
    return theirs.Sequential(
        theirs.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        theirs.ReLU(),
        theirs.Conv2d(8, 8, 3),
        nn.GroupNorm(2, 8),
        theirs.ReLU(),
        theirs.Conv2d(8, 8, 1),
        nn.InstanceNorm2d(8, affine=True),
        theirs.Flatten(),
        theirs.Linear(128, 32),
        nn.BatchNorm1d(32, momentum=None),
        theirs.Linear(32, 32),
        nn.RMSNorm(32),
        theirs.Tanh(),
        theirs.Linear(32, 10),
        nn.LayerNorm(10),
    )


def losses(model, steps, dtype, run=None):
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    result = []
    for _ in range(steps):
        x = torch.randn(16, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
        # To be learned: which half of the images is brighter.
        target = (x.mean((1, 2, 3)) > 0).long()
        loss = theirs.functional.cross_entropy((run or model)(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        result.append(loss.item())
    return result


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 2e-3)], ids=str
)
def test_a_network_trains_as_with_torchs_norms(dtype, bound):
    """The same losses, step by step. In float32 40 steps make more of differences of 1e-7."""
    reference = network(theirs).to(dtype)
    model = network(ours).to(dtype)
    model.load_state_dict(reference.state_dict())
    expected, got = losses(reference, 40, dtype), losses(model, 40, dtype)
    assert sum(expected[-5:]) < 0.8 * sum(expected[:5])  # it learns something
    for step, (one, two) in enumerate(zip(got, expected, strict=True)):
        assert abs(one - two) <= bound * max(1, abs(two)), f"step {step}: {one} against {two}"
    reference.eval()
    model.eval()
    x = torch.randn(4, 3, 8, 8, dtype=dtype)
    torch.testing.assert_close(model(x), reference(x), rtol=bound, atol=bound)


def test_a_network_compiles_in_one_graph():
    model = network(ours)
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    assert losses(model, 3, torch.float32) == losses(twin, 3, torch.float32, compiled)
    for (key, one), two in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, two), key


def test_autocast():
    """bfloat16 from a convolution meets float32 parameters: the result has x's type."""
    model = network(ours)
    x = torch.randn(16, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
