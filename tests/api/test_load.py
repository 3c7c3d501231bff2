"""`load` of what is no torch module; tests/models/test_torch_modules.py has those."""

import pytest
from small_models import affine

import sanderling
from sanderling import InputError


@pytest.mark.parametrize("name", ["example_inputs", "dynamic_shapes", "input_names", "output_names"])
def test_settings_of_modules_are_refused_for_others(name, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(affine())
    for source in (affine(), path, sanderling.load(affine())):
        with pytest.raises(InputError, match=f"{name} is for torch modules, this model is "):
            sanderling.load(source, **{name: ("x",)})


def test_a_session_of_no_module_takes_no_examples():
    for source in (affine(), sanderling.load(affine())):
        with pytest.raises(InputError, match="example_inputs is for torch modules"):
            sanderling.Session(source, example_inputs=())
