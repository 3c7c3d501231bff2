#include "batch/batcher.h"

#include <cstring>

#include "batch/queue.h"

namespace sanderling {
namespace {

// Rows are what requests share: every input must have them on axis 0, and as many as it likes.
void check_batchable(const InputCheck& check, const BatchPolicy& policy) {
  if (check.specs().empty())
    fail(ErrorCode::kUnsupported, "[batcher] the model has no input to batch. Run it by a session");
  for (const InputSpec& spec : check.specs()) {
    if (spec.dims.empty())
      fail(ErrorCode::kUnsupported, "[batcher] input '", spec.name,
           "' is a scalar and has no batch axis. Run the model by a session");
    const bool one_by_one = spec.dims[0] == 1 && policy.max_batch_size == 1;
    if (spec.dims[0] >= 0 && !one_by_one)
      fail(ErrorCode::kUnsupported, "[batcher] axis 0 of input '", spec.name, "' is fixed at ",
           spec.dims[0], ", max_batch_size is ", policy.max_batch_size,
           ". Export the model with a free batch dimension");
  }
}

// Copies rows of a batch's outputs to where the request wants them, which is made at its first
// part.
void scatter(std::span<const TensorView> outputs, int64_t batch_row, const Part& part) {
  Request& request = *part.request;
  if (request.outputs.empty()) {
    for (const TensorView& output : outputs) {
      std::vector<int64_t> dims = output.type.shape.dims();
      dims[0] = request.rows;
      request.outputs.emplace_back(output.type.dtype, Shape(std::move(dims)));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorType& type = outputs[i].type;
    const size_t row_bytes = type.bytes() / static_cast<size_t>(type.shape[0]);
    if (request.outputs[i].type().bytes() != row_bytes * static_cast<size_t>(request.rows))
      fail(ErrorCode::kUnsupported, "[batcher] output ", i, " has rows of ", row_bytes,
           " bytes in one batch and others in the next. Run the model by a session");
    std::memcpy(
        static_cast<std::byte*>(request.outputs[i].mutable_raw()) +
            static_cast<size_t>(part.request_row) * row_bytes,
        static_cast<const std::byte*>(outputs[i].data) + static_cast<size_t>(batch_row) * row_bytes,
        static_cast<size_t>(part.rows) * row_bytes);
  }
}

bool is_input_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& caught) {
    return caught.code() == ErrorCode::kInput;
  } catch (...) {
    return false;
  }
}

}  // namespace

struct Batcher::Work {
  const InputCheck check;
  const std::unique_ptr<BatchRunner> runner;
  const Deliver deliver;
  BatchQueue queue;

  void loop();
  void run(const Batch& batch);
  std::exception_ptr run_parts(const Batch& batch, std::span<const Part> parts);
  void finish(const Batch& batch);
};

void Batcher::Work::loop() {
  while (std::unique_ptr<Batch> batch = queue.next()) {
    run(*batch);
    finish(*batch);
    queue.recycle(std::move(batch));
  }
  std::vector<Finished> given_up;
  for (const std::shared_ptr<Request>& request : queue.take_abandoned())
    given_up.push_back({std::move(request->ticket), {}, {}});
  if (!given_up.empty()) deliver(std::move(given_up));
}

void Batcher::Work::run(const Batch& batch) {
  std::exception_ptr error = run_parts(batch, batch.parts);
  if (!error) return;
  // One request's data must not fail its mates: each runs by itself and hears only of its own.
  const bool separately = batch.parts.size() > 1 && is_input_error(error);
  for (const Part& part : batch.parts) {
    if (separately) error = run_parts(batch, {&part, 1});
    if (error && !part.request->error) part.request->error = error;
  }
}

// Runs consecutive parts as one batch; returns what went wrong.
std::exception_ptr Batcher::Work::run_parts(const Batch& batch, std::span<const Part> parts) {
  try {
    const int64_t first = parts.front().batch_row;
    const int64_t rows = parts.back().batch_row + parts.back().rows - first;
    const std::vector<TensorView> outputs = runner->run(batch.views(first, rows));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Shape& shape = outputs[i].type.shape;
      if (shape.rank() == 0 || shape[0] != rows)
        fail(ErrorCode::kUnsupported, "[batcher] output ", i, " is ", outputs[i].type.to_string(),
             " for a batch of ", rows,
             " rows: it has not one row per row. Run the model by a session");
    }
    for (const Part& part : parts) scatter(outputs, part.batch_row - first, part);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

void Batcher::Work::finish(const Batch& batch) {
  std::vector<Finished> finished;
  for (const Part& part : batch.parts) {
    Request& request = *part.request;
    request.rows_left -= part.rows;
    if (request.rows_left != 0) continue;
    if (request.error) request.outputs.clear();
    finished.push_back({std::move(request.ticket), std::move(request.outputs), request.error});
  }
  if (!finished.empty()) deliver(std::move(finished));
}

Batcher::Batcher(InputCheck check, std::unique_ptr<BatchRunner> runner, BatchPolicy policy,
                 Deliver deliver) {
  check_policy(policy);
  check_batchable(check, policy);
  work_ = std::shared_ptr<Work>(
      new Work{std::move(check), std::move(runner), std::move(deliver), BatchQueue(policy)});
  thread_ = std::thread([work = work_] { work->loop(); });
  thread_id_ = thread_.get_id();
}

Batcher::~Batcher() {
  close(false);
  if (is_here()) {
    if (thread_.joinable()) thread_.detach();
    return;
  }
  static_cast<void>(new std::thread(std::move(thread_)));  // of no thread of this process
}

void Batcher::require_here() const {
  if (!is_here())
    fail(ErrorCode::kUnsupported,
         "[batcher] it was made before the process forked, and its thread is in the parent. Make a "
         "batcher in the child");
}

bool Batcher::submit(std::span<const TensorView> inputs, std::shared_ptr<void> ticket, bool wait) {
  require_here();
  work_->check.check_types(inputs);
  work_->check.require_rows(0, inputs[0].type);
  const int64_t rows = inputs[0].type.shape[0];
  for (size_t i = 1; i < inputs.size(); ++i)
    if (inputs[i].type.shape[0] != rows)
      fail(ErrorCode::kInput, "[batcher] input '", work_->check.specs()[i].name, "' has ",
           inputs[i].type.shape[0], " rows, input '", work_->check.specs()[0].name, "' has ", rows);
  const bool alone = work_->check.has_nan(inputs);
  return work_->queue.submit(inputs, std::move(ticket), alone, wait);
}

BatchStats Batcher::stats() const {
  require_here();
  return work_->queue.stats();
}

void Batcher::close(bool drain) {
  if (!is_here()) return;  // what waits there is the parent's
  work_->queue.close(drain);
  if (on_own_thread()) return;
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

}  // namespace sanderling
