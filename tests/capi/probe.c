/* Every function of the C interface with arguments that are right, wrong and missing: exits 0 if each answered as it must. */
#include <sanderling/sanderling.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;
static void expect(int line, int got, int wanted, const char* words, const sanderling_error* error) {
  if (got == wanted && (wanted == SANDERLING_OK || strstr(error->message, words))) return;
  printf("line %d: status %d, '%s'\n", line, got, error->message);
  ++failures;
}
#define EXPECT(status, words, call) expect(__LINE__, call, status, words, &error)

int main(int count, char** arguments) {
  sanderling_error error = {{0}};
  sanderling_model* model = (sanderling_model*)&error;
  sanderling_session* session = NULL;
  sanderling_spec spec;
  float x[2 * 7] = {0}, y[2 * 5];
  sanderling_tensor input = {SANDERLING_FLOAT32, 2, {2, 7}, x}, output = {SANDERLING_FLOAT32, 2, {2, 5}, y}, types = {0};
  (void)count;

  EXPECT(SANDERLING_INPUT_ERROR, "path is NULL", sanderling_model_load(NULL, &model, &error));
  if (model != NULL) return 3;
  EXPECT(SANDERLING_INPUT_ERROR, "model is NULL", sanderling_model_load(arguments[1], NULL, &error));
  EXPECT(SANDERLING_MODEL_ERROR, "no graph", sanderling_model_load_bytes("", 0, &model, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "bytes is NULL", sanderling_model_load_bytes(NULL, 4, &model, &error));
  EXPECT(SANDERLING_OK, "", sanderling_model_load(arguments[1], &model, &error));
  if (sanderling_model_inputs(model) != 1 || sanderling_model_outputs(model) != 1) return 4;
  EXPECT(SANDERLING_OK, "", sanderling_model_input(model, 0, &spec, &error));
  if (strcmp(spec.name, "x") != 0 || spec.dtype != SANDERLING_FLOAT32 || spec.rank != 2) return 5;
  if (spec.dims[0] != -1 || spec.dims[1] != 7) return 6;
  EXPECT(SANDERLING_INPUT_ERROR, "input 1 of 1", sanderling_model_input(model, 1, &spec, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "output 9 of 1", sanderling_model_output(model, 9, &spec, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "threads is 0", sanderling_session_create(model, 0, NULL, &session, &error));
  EXPECT(SANDERLING_UNSUPPORTED_ERROR, "abacus", sanderling_session_create(model, 1, "abacus", &session, &error));
  EXPECT(SANDERLING_UNSUPPORTED_ERROR, "scalar has no bfloat16 products",
         sanderling_session_create_bfloat16(model, 1, "scalar", &session, &error));
  if (sanderling_session_create_bfloat16(model, 1, "avx512_bf16", &session, &error) == SANDERLING_OK) {
    EXPECT(SANDERLING_OK, "", sanderling_session_run(session, &input, 1, &output, 1, &error));
    sanderling_session_free(session);
  } else {
    EXPECT(SANDERLING_UNSUPPORTED_ERROR, "avx512_bf16",
           sanderling_session_create_bfloat16(model, 1, "avx512_bf16", &session, &error));
  }
  EXPECT(SANDERLING_OK, "", sanderling_session_create(model, 2, "scalar", &session, &error));
  sanderling_model_free(model);
  if (strcmp(sanderling_session_isa(session), "scalar") != 0) return 7;

  EXPECT(SANDERLING_OK, "", sanderling_session_output_types(session, &input, 1, &types, 1, &error));
  if (types.dtype != SANDERLING_FLOAT32 || types.rank != 2 || types.dims[0] != 2 || types.dims[1] != 5) return 8;
  EXPECT(SANDERLING_OK, "", sanderling_session_run(session, &input, 1, &output, 1, &error));
  EXPECT(SANDERLING_OK, "", sanderling_session_run(session, &input, 1, &output, 1, NULL));
  EXPECT(SANDERLING_INPUT_ERROR, "got 0 inputs", sanderling_session_run(session, NULL, 0, &output, 1, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "input is NULL", sanderling_session_run(session, NULL, 1, &output, 1, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "session is NULL", sanderling_session_run(NULL, &input, 1, &output, 1, &error));
  output.data = x;
  EXPECT(SANDERLING_INPUT_ERROR, "shares memory", sanderling_session_run(session, &input, 1, &output, 1, &error));
  output.data = NULL;
  EXPECT(SANDERLING_INPUT_ERROR, "output 0 has no data", sanderling_session_run(session, &input, 1, &output, 1, &error));
  output.data = y;
  output.dims[1] = 4;
  EXPECT(SANDERLING_INPUT_ERROR, "the model writes", sanderling_session_run(session, &input, 1, &output, 1, &error));
  output.dims[1] = 5;
  EXPECT(SANDERLING_OK, "", sanderling_session_run_for(session, &input, 1, &output, 1, 60.0, &error));
  EXPECT(SANDERLING_INPUT_ERROR, "timeout_s is 0", sanderling_session_run_for(session, &input, 1, &output, 1, 0.0, &error));
  EXPECT(SANDERLING_DEADLINE_ERROR, "did not end within", sanderling_session_run_for(session, &input, 1, &output, 1, 1e-9, &error));
  sanderling_session_cancel(session);
  sanderling_session_cancel(NULL);
  EXPECT(SANDERLING_OK, "", sanderling_session_run(session, &input, 1, &output, 1, &error));
  input.rank = 9;
  EXPECT(SANDERLING_INPUT_ERROR, "rank 9", sanderling_session_run(session, &input, 1, &output, 1, &error));
  input.rank = 2;
  input.dtype = 77;
  EXPECT(SANDERLING_INPUT_ERROR, "dtype 77", sanderling_session_run(session, &input, 1, &output, 1, &error));
  sanderling_session_free(session);
  sanderling_session_free(NULL);
  sanderling_model_free(NULL);
  return failures == 0 ? 0 : 1;
}
