from typing import Any

import numpy as np
import pytest

from arg_cases import DTYPES
from onnx_models import Array, one_node
from runner import Case, check, check_refused
from samples import values
from sanderling.errors import ModelError, UnsupportedError

# Equations with shapes: permutations, diagonals, sums; products that need no move, that move an operand, the result,
# or swap operands; outer and elementwise products; ellipses; operands that are repeated; three operands.
EQUATIONS = """
i 7
i-> 7
ij->ji 3,5
ij->j 3,5
ij-> 30,50
ii->i 6,6
ii 6,6
bii->b 3,4,4
iij->j 4,4,3
abcd->dbca 3,4,5,6
...ij->...ji 2,3,4,5
i...->... 3,4
...->... 3,4
i,i-> 1000 1000
i,i 7 7
i,j->ij 5 7
i,j 5 7
ij,ij->ij 5,7 5,7
bi,bi->b 3,700 3,700
ij,jk->ik 13,17 17,19
ij,jk 13,17 17,19
ij,jk->ki 13,17 17,19
ij,kj->ik 13,17 19,17
ji,jk->ik 17,13 17,19
ji,kj->ik 17,13 19,17
ij,j->i 13,170 170
j,jk->k 170 170,13
bij,bjk->bik 3,13,17 3,17,19
bij,bjk->ikb 3,13,17 3,17,19
bij,jk->bik 3,13,17 17,19
ij,bjk->bik 13,17 3,17,19
bhid,bhjd->bhij 2,3,13,8 2,3,11,8
bthd,bshd->bhts 2,13,3,8 2,11,3,8
bhts,bshd->bthd 2,3,13,11 2,11,3,8
bhwc,hkc->bhwk 2,9,10,8 9,7,8
bhwc,wkc->bhwk 2,9,10,8 10,7,8
bld,dhk->blhk 2,9,16 16,3,8
blhk,hkd->bld 2,9,3,8 3,8,16
abc,cba->a 9,10,11 11,10,9
abij,cdij->acbd 3,5,6,4 4,2,6,4
nctkv,vw->nctkw 2,3,5,1,8 8,9
nctw,cvwt->nctv 2,3,7,9 3,9,9,7
...ij,...jk->...ik 2,3,13,17 2,3,17,19
...ij,jk->...ik 2,3,13,17 17,19
...ij,...jk->...ik 3,13,17 2,1,17,19
...ij,...jk 2,13,17 17,19
i...,i->... 30,4,9 30
bij,bjk->bik 1,13,17 5,17,19
ij,jk->k 13,17 17,19
iij,jk->ik 13,13,17 17,19
ij,jk->ik 13,1 17,19
ij,jk,kl->il 3,4 4,5 5,6
bi,bj,bk->bijk 2,3 2,4 2,5
Ab,bA 9,10 10,9
"""


def example(line: str, dtype: Any = np.float32) -> tuple[str, dict[str, Array]]:
    equation, *shapes = line.split()
    rng = np.random.default_rng(len(line))
    made = {}
    for i, shape in enumerate(shapes):
        x = values(rng, [int(extent) for extent in shape.split(",")], np.float32)
        made[f"x{i}"] = x.astype(dtype) if np.issubdtype(dtype, np.floating) else np.round(np.abs(x)).astype(dtype)
    return equation, made


def einsum_case(line: str, dtype: Any = np.float32, constant: bool = False, **settings: Any) -> Case:
    equation, arrays = example(line, dtype)
    wide = [a.astype(np.float64) if np.issubdtype(dtype, np.floating) else a for a in arrays.values()]
    expected = np.asarray(np.einsum(equation, *wide))
    magnitude = float(np.einsum(equation, *(np.abs(a.astype(np.float64)) for a in arrays.values())).max(initial=0))
    length = int(np.prod([max(a.size, 1) for a in arrays.values()])) // max(expected.size, 1)
    inputs = dict(list(arrays.items())[:1]) if constant else arrays
    constants = {name: array for name, array in arrays.items() if name not in inputs}
    model = one_node("Einsum", inputs, constants=constants, output_dtype=dtype, opset=12, equation=equation)
    return Case(line, model, inputs, {"y": expected}, length=min(length, 1000), magnitude=magnitude, **settings)


@pytest.mark.parametrize("line", EQUATIONS.strip().splitlines())
def test_equations(line: str) -> None:
    # ONNX Runtime refuses ellipses of different ranks, and to repeat an operand along a letter.
    unknown = (
        "ij,jk->ik 13,1 17,19",
        "bij,bjk->bik 1,13,17 5,17,19",
        "...ij,...jk->...ik 3,13,17 2,1,17,19",
        "...ij,...jk 2,13,17 17,19",
    )
    check(einsum_case(line, onnxruntime=line not in unknown))
    if "," in line.split()[0]:
        check(einsum_case(line, constant=True, onnxruntime=False))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("line", ["bij,bjk->bik 2,3,4 2,4,5", "ij->j 3,5", "ij,jk,kl->il 3,4 4,5 5,6"])
def test_dtypes(line: str, dtype: Any) -> None:
    check(einsum_case(line, dtype, onnxruntime=dtype in (np.float32, np.float64, np.int32, np.int64)))


def test_spaces_batches_and_nothing() -> None:
    x = values(np.random.default_rng(0), (8, 13, 17))
    w = values(np.random.default_rng(1), (17, 19))
    model = one_node("Einsum", {"x": x}, constants={"w": w}, symbolic_batch=True, equation=" b i j , j k -> b i k ")
    for batch in (1, 3, 8):
        wide = x[:batch].astype(np.float64) @ w.astype(np.float64)
        check(Case(f"{batch}", model, {"x": x[:batch]}, {"y": wide}, length=17, magnitude=200.0))
    scalars = {"a": np.array(3, np.float32), "b": np.array(4, np.float32)}
    model = one_node("Einsum", scalars, equation=",->")
    check(Case("scalars", model, scalars, {"y": np.array(12.0)}))
    empty = {"a": np.zeros((3, 0), np.float32), "b": np.zeros((0, 5), np.float32)}
    model = one_node("Einsum", empty, equation="ij,jk")
    check(Case("empty", model, empty, {"y": np.zeros((3, 5))}, onnxruntime=False))


def test_an_ellipsis_that_is_summed() -> None:
    x = values(np.random.default_rng(0), (3, 4, 5))
    model = one_node("Einsum", {"x": x}, equation="...i->i")
    expected = {"y": x.astype(np.float64).sum((0, 1))}
    check(Case("summed", model, {"x": x}, expected, length=12, magnitude=60.0, onnxruntime=False))


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("", "does not fit input 0"),
        ("ij->ik", "the output's index 'k' is in no operand"),
        ("ij->ii", "occurs twice"),
        ("ijk", "does not fit input 0"),
        ("i", "does not fit input 0"),
        ("ii", "extent 3, another axis with the same index has 2"),
        ("i1", "expected letters"),
        ("..ij", "expected letters"),
        ("...i...", "at most one ellipsis"),
        ("ij->i->j", "expected letters"),
        ("ij,jk", "2 operands, the node has 1 inputs"),
    ],
)
def test_bad_equations(equation: str, message: str) -> None:
    x = {"x": np.zeros((2, 3), np.float32)}
    check_refused(one_node("Einsum", x, equation=equation), x, ModelError, message, "Einsum")


def test_refused() -> None:
    x: dict[str, Any] = {"x": np.zeros((2, 3), np.float32), "z": np.zeros((2, 3), np.float64)}
    check_refused(one_node("Einsum", x, equation="ij,ij"), x, ModelError, "must be the same", "Einsum")
    x = {"x": np.zeros((2, 3), np.bool_)}
    check_refused(one_node("Einsum", x, equation="ij"), x, UnsupportedError, "bool", "Einsum")
    x = {f"x{i}": np.zeros(5000, np.float32) for i in range(4)}
    check_refused(one_node("Einsum", x, equation="a,b,c,d->"), x, UnsupportedError, "products at once", "Einsum")
