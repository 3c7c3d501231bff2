"""What a user of tritonclient[http] does; run by the interpreter of its own virtual environment.

python triton_calls.py PORT: rows are whole numbers, the model is y[c] = (c + 1) * sum(x).
"""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}", concurrency=4)
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("camera")
assert client.is_model_ready("camera", "1.0")
assert not client.is_model_ready("nobody")
assert client.get_server_metadata()["name"] == "sanderling"
assert client.get_model_metadata("camera")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]

rows = np.random.default_rng(0).integers(-8, 9, (5, 4)).astype(np.float32)
expected = rows.sum(axis=1, keepdims=True) * np.arange(1, 4, dtype=np.float32)
for sent_binary in (True, False):
    for answered_binary in (True, False):
        tensor = triton.InferInput("x", rows.shape, "FP32")
        tensor.set_data_from_numpy(rows, binary_data=sent_binary)
        wanted = [triton.InferRequestedOutput("y", binary_data=answered_binary)]
        for version in ("", "1.0"):
            answer = client.infer("camera", [tensor], outputs=wanted, request_id="7", model_version=version)
            assert np.array_equal(answer.as_numpy("y"), expected)
            assert answer.get_response()["id"] == "7"
            assert answer.get_response()["model_version"] == "linear-1.0"
        assert np.array_equal(client.infer("camera", [tensor]).as_numpy("y"), expected)

pending = [client.async_infer("camera", [tensor]) for _ in range(20)]
assert all(np.array_equal(request.get_result().as_numpy("y"), expected) for request in pending)

wrong = triton.InferInput("x", [1, 3], "FP32")
wrong.set_data_from_numpy(np.zeros((1, 3), np.float32))
refused = None
try:
    client.infer("camera", [wrong])
except InferenceServerException as error:
    refused = error
assert refused is not None
assert "400" in str(refused.status()), refused
assert "4" in refused.message(), refused
client.close()
print("fine")
