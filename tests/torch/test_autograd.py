"""Gradients, and gradients of gradients, against finite differences and float64 formulas."""

import pytest
import torch
from norms import CASES, UNIT, Case, ops


def given(tensors):
    return tuple(t for t in tensors if t is not None)


def call(case):
    """The op as a function of only the tensors that the case has."""

    def run(x, *affine):
        affine = list(affine)
        weight = affine.pop(0) if case.weight else None
        bias = affine.pop(0) if case.bias else None
        return case(x, weight, bias)

    return run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case):
    tensors = given(case.tensors(torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(call(case), tensors)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradgradcheck(case):
    if case.x_shape[-1] == 33:  # 7 x 33 takes long and shows no more than 3 x 9
        case = Case(case.op, (*case.x_shape[:-2], 3, 9), 1, case.weight, case.bias, case.options)
    tensors = given(case.tensors(torch.float64, requires_grad=True))
    assert torch.autograd.gradgradcheck(call(case), tensors)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("affine", ["own", "f32"])
def test_first_gradients_through_double_backward_are_the_same(case, dtype, affine):
    """create_graph takes the formulas; they must say what the kernels say, in any type."""
    wide = torch.float32 if affine == "f32" else dtype
    tensors = case.tensors(dtype, wide, requires_grad=True)
    y = case(*tensors)
    dy = torch.randn_like(y)
    plain = torch.autograd.grad(y, given(tensors), dy, retain_graph=True)
    graph = torch.autograd.grad(y, given(tensors), dy.requires_grad_(), create_graph=True)
    for one, two in zip(plain, graph, strict=True):
        assert two.requires_grad
        scale = max(one.double().abs().max(), dy.double().abs().max())
        bound = 2 * UNIT[one.dtype] * one.double().abs() + 2e-5 * scale
        assert ((one.double() - two.double()).abs() <= bound).all()


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_third_derivative(op):
    case = Case(op, (2, 5))
    tensors = case.tensors(torch.float64, requires_grad=True)

    def first(*inputs):
        y = case(*inputs)
        return torch.autograd.grad(y.square().sum(), inputs[0], create_graph=True)[0]

    assert torch.autograd.gradgradcheck(first, tensors)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("wanted", ["x", "weight", "bias"])
def test_only_what_is_wanted_is_computed(op, wanted):
    case = Case(op, (6, 16))
    tensors = dict(zip(("x", "weight", "bias"), case.tensors(torch.float32), strict=True))
    tensors[wanted].requires_grad_()
    dy = torch.randn(6, 16)
    case(**tensors).backward(dy)
    truth = dict(zip(("y", "x", "weight", "bias"), case.truth(*tensors.values(), dy), strict=True))
    for name, tensor in tensors.items():
        if name == wanted:
            torch.testing.assert_close(tensor.grad.double(), truth[name], rtol=1e-5, atol=1e-5)
        else:
            assert tensor.grad is None


def test_output_mask():
    x, weight, dy = torch.randn(4, 8), torch.randn(8), torch.randn(4, 8)
    _, rstd = ops.rms_norm_forward(x, [8], weight)
    full = ops.rms_norm_backward(x, [8], weight, rstd, dy)
    for mask in ([True, False, False], [False, True, False], [False, False, True], [False] * 3):
        part = ops.rms_norm_backward(x, [8], weight, rstd, dy, output_mask=mask)
        for wanted, got, expected in zip(mask, part, full, strict=True):
            assert torch.equal(got, expected) if wanted else got is None


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_sum_backward_takes_an_expanded_gradient(op):
    """sum().backward() hands down one element with strides of 0."""
    case = Case(op, (3, 4, 16))
    for x_layout in (lambda t: t, lambda t: t.transpose(0, 1)):
        tensors = case.tensors(torch.float32, requires_grad=True)
        x = x_layout(tensors[0])
        case(x, *tensors[1:]).sum().backward()
        truth = case.truth(*tensors, torch.ones(3, 4, 16))
        for tensor, expected in zip(tensors, truth[1:], strict=True):
            torch.testing.assert_close(tensor.grad.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_gradient_of_any_stride(op):
    case = Case(op, (6, 16))
    tensors = case.tensors(torch.float32, requires_grad=True)
    dense = torch.randn(6, 16)
    wide = torch.zeros(6, 40)
    wide[:, ::2][:, :16] = dense
    layouts = [dense.t().contiguous().t(), wide[:, ::2][:, :16], dense.flip(0).flip(0)]
    expected = torch.autograd.grad(case(*tensors), tensors, dense)
    for dy in layouts:
        got = torch.autograd.grad(case(*tensors), tensors, dy)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_non_leaf_inputs(op):
    case = Case(op, (5, 12))
    leaf = torch.randn(5, 12, dtype=torch.float64, requires_grad=True)
    raw = torch.randn(12, dtype=torch.float64, requires_grad=True)

    def run(leaf, raw):
        return case(leaf.tanh() * 3, raw.exp(), raw.sin()).square()

    assert torch.autograd.gradcheck(run, (leaf, raw))


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_without_grad(op):
    case = Case(op, (5, 12))
    tensors = case.tensors(torch.float32, requires_grad=True)
    expected = case(*tensors)
    with torch.no_grad():
        y = case(*tensors)
        assert not y.requires_grad and torch.equal(y, expected)
    with torch.inference_mode():
        y = case(*tensors)
        assert y.is_inference() and torch.equal(y, expected)
        assert torch.equal(case(y.clone(), *tensors[1:]), case(expected.detach(), *tensors[1:]))


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_statistics_are_not_differentiable(op):
    x = torch.randn(3, 8, requires_grad=True)
    y, *statistics = getattr(ops, op + "_forward")(x, [8])
    assert y.requires_grad and not any(s.requires_grad for s in statistics)


def test_an_input_changed_in_place_is_noticed():
    x = torch.randn(3, 8, requires_grad=True) * 1
    y = ops.rms_norm(x, [8])
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_bf16_parameter_gradients_are_summed_wide(op):
    """A sum in bf16 stops at 256 or 512, where adding 1 rounds to nothing: PyTorch's does."""
    for affine in (torch.bfloat16, torch.float32):
        x = torch.randn(4096, 64, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.ones(64, dtype=affine, requires_grad=True)
        bias = torch.zeros(64, dtype=affine, requires_grad=True)
        getattr(ops, op)(x, [64], weight, bias).backward(torch.ones(4096, 64, dtype=x.dtype))
        assert torch.equal(bias.grad, torch.full((64,), 4096, dtype=affine))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_mode(case):
    tensors = given(case.tensors(torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(
        call(case), tensors, check_forward_ad=True, check_backward_ad=False
    )


@pytest.mark.parametrize("policy", ["after_weight", "before_weight"])
def test_forward_mode_in_bf16(policy):
    """A tangent goes straight through the rounding; it is never lost."""
    x, tangent = torch.randn(4, 32).bfloat16(), torch.randn(4, 32).bfloat16()
    run = lambda t: ops.rms_norm(t, [32], cast_policy=policy)  # noqa: E731
    exact = lambda t: Case("rms_norm", (4, 32)).formula(t)  # noqa: E731
    _, got = torch.func.jvp(run, (x,), (tangent,))
    _, expected = torch.func.jvp(exact, (x.double(),), (tangent.double(),))
    torch.testing.assert_close(got.double(), expected, rtol=2.0**-8, atol=1e-5)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_forward_over_reverse(op):
    case = Case(op, (3, 6))
    tensors = case.tensors(torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        call(case),
        tensors,
        check_fwd_over_rev=True,
        check_rev_over_rev=False,
        check_undefined_grad=False,  # gradgradcheck has it for reverse over reverse only
    )


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_runs_one_by_one():
    x, weight = torch.randn(5, 3, 8), torch.randn(8)
    got = torch.func.vmap(lambda t: ops.rms_norm(t, [8], weight))(x)
    assert torch.equal(got, ops.rms_norm(x, [8], weight))


def test_func_grad_is_refused_with_a_reason():
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda t: ops.rms_norm(t, [8]).sum())(torch.randn(3, 8))
