/* steady MODEL THREADS: runs a model of one input x [n, 3, 12, 12] and one output [n, 4] with rows of two sizes in turn,
 * and prints how often it asked for memory in the first and in the second half of the runs. */
#include <sanderling/sanderling.h>
#include <stdio.h>
#include <stdlib.h>

unsigned long count_allocations(void);

static int run(sanderling_session* session, int64_t rows) {
  static float x[2 * 3 * 12 * 12], y[2 * 4];
  sanderling_tensor input = {SANDERLING_FLOAT32, 4, {rows, 3, 12, 12}, x}, output = {SANDERLING_FLOAT32, 2, {rows, 4}, y};
  sanderling_error error;
  if (sanderling_session_run(session, &input, 1, &output, 1, &error) == SANDERLING_OK) return 0;
  fprintf(stderr, "%s\n", error.message);
  return 1;
}

int main(int count, char** arguments) {
  sanderling_model* model = NULL;
  sanderling_session* session = NULL;
  unsigned long before, between, after;
  int i, failures = 0;
  if (count != 3 || sanderling_model_load(arguments[1], &model, NULL) != SANDERLING_OK) return 2;
  if (sanderling_session_create(model, atoi(arguments[2]), NULL, &session, NULL) != SANDERLING_OK) return 3;
  before = count_allocations();
  for (i = 0; i < 10; ++i) failures += run(session, 1 + i % 2);
  between = count_allocations();
  for (i = 0; i < 10; ++i) failures += run(session, 1 + i % 2);
  after = count_allocations();
  sanderling_session_free(session);
  sanderling_model_free(model);
  printf("%lu %lu\n", between - before, after - between);
  return failures;
}
