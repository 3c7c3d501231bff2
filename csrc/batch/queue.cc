#include "batch/queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sanderling {
namespace {

constexpr size_t kMaxSpare = 4;  // one running, one filling, and the same for a second row shape

int64_t micros(BatchClock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

Shape with_rows(const Shape& shape, int64_t rows) {
  std::vector<int64_t> dims = shape.dims();
  dims[0] = rows;
  return Shape(std::move(dims));
}

// Whether the rows (all but axis 0) of these inputs are those of the batch.
bool same_rows(const Batch& batch, std::span<const TensorView> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int64_t>& a = batch.inputs[i].shape().dims();
    const std::vector<int64_t>& b = inputs[i].type.shape.dims();
    if (!std::equal(a.begin() + 1, a.end(), b.begin() + 1, b.end())) return false;
  }
  return true;
}

void copy_rows(std::span<const TensorView> inputs, const Part& part, Batch& batch) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& type = inputs[i].type;
    const size_t row_bytes = type.bytes() / static_cast<size_t>(type.shape[0]);
    std::memcpy(static_cast<std::byte*>(batch.inputs[i].mutable_raw()) +
                    static_cast<size_t>(part.batch_row) * row_bytes,
                static_cast<const std::byte*>(inputs[i].data) +
                    static_cast<size_t>(part.request_row) * row_bytes,
                static_cast<size_t>(part.rows) * row_bytes);
  }
}

}  // namespace

std::vector<TensorView> Batch::views(int64_t first_row, int64_t row_count) const {
  std::vector<TensorView> views;
  for (const Tensor& input : inputs) {
    const size_t row_bytes = input.type().bytes() / static_cast<size_t>(capacity());
    auto* const data = static_cast<std::byte*>(input.view().data);
    views.push_back({{input.dtype(), with_rows(input.shape(), row_count)},
                     data + static_cast<size_t>(first_row) * row_bytes});
  }
  return views;
}

bool BatchQueue::submit(std::span<const TensorView> inputs, std::shared_ptr<void> ticket,
                        bool alone, bool wait) {
  auto request = std::make_shared<Request>();
  request->ticket = std::move(ticket);
  request->rows = request->rows_queued = request->rows_left = inputs[0].type.shape[0];
  std::vector<std::pair<Batch*, Part>> places;
  {
    std::unique_lock lock(mutex_);
    const auto blocked = [&] { return !closed_ && waiting_ >= policy_.max_queue_size; };
    if (blocked() && !wait) {
      ++stats_.rejected;
      return false;
    }
    room_.wait(lock, [&] { return !blocked(); });
    if (closed_) fail(ErrorCode::kInput, "[batcher] the batcher is closed. Make a new one");
    request->submitted = BatchClock::now();
    places = place(inputs, request, alone);
    ++waiting_;
    ++stats_.requests;
    stats_.rows += request->rows;
  }
  changed_.notify_one();
  for (const auto& [batch, part] : places) copy_rows(inputs, part, *batch);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [batch, part] : places) --batch->copying;
  }
  copied_.notify_one();
  return true;
}

Batch* BatchQueue::find_open(std::span<const TensorView> inputs) {
  for (const std::unique_ptr<Batch>& batch : batches_)
    if (!batch->sealed && same_rows(*batch, inputs)) return batch.get();
  return nullptr;
}

std::unique_ptr<Batch> BatchQueue::make_batch(std::span<const TensorView> inputs,
                                              int64_t capacity) {
  const auto found = std::find_if(spare_.begin(), spare_.end(), [&](const auto& batch) {
    return batch->capacity() == capacity && same_rows(*batch, inputs);
  });
  if (found != spare_.end()) {
    std::unique_ptr<Batch> batch = std::move(*found);
    spare_.erase(found);
    return batch;
  }
  auto batch = std::make_unique<Batch>();
  for (const TensorView& input : inputs)
    batch->inputs.emplace_back(input.type.dtype, with_rows(input.type.shape, capacity));
  return batch;
}

// Finds room for all rows first and changes the queue afterwards, so that running out of memory
// leaves it as it was.
std::vector<std::pair<Batch*, Part>> BatchQueue::place(std::span<const TensorView> inputs,
                                                       const std::shared_ptr<Request>& request,
                                                       bool alone) {
  std::vector<std::pair<Batch*, Part>> places;
  std::vector<std::unique_ptr<Batch>> made;
  Batch* const open = alone ? nullptr : find_open(inputs);
  for (int64_t row = 0; row < request->rows;) {
    const int64_t left = request->rows - row;
    Batch* batch = row == 0 ? open : nullptr;
    int64_t rows = batch ? rows_to_add(policy_, batch->rows, request->rows, left) : 0;
    if (rows == 0) {
      made.push_back(make_batch(inputs, alone ? left : policy_.max_batch_size));
      batch = made.back().get();
      batch->alone = alone;
      rows = alone ? left : rows_to_add(policy_, 0, request->rows, left);
    }
    places.push_back({batch, {request, row, batch->rows, rows}});
    row += rows;
  }

  if (open && places.front().first != open) open->sealed = true;
  for (const auto& [batch, part] : places) {
    if (batch->parts.empty()) batch->oldest = request->submitted;
    batch->parts.push_back(part);
    batch->rows += part.rows;
    batch->sealed = alone || batch->rows == policy_.max_batch_size;
    ++batch->copying;
  }
  for (std::unique_ptr<Batch>& batch : made) batches_.push_back(std::move(batch));
  return places;
}

std::unique_ptr<Batch> BatchQueue::next() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closed_ && (abandoning_ || batches_.empty())) return nullptr;
    const BatchClock::time_point now = BatchClock::now();
    std::optional<int64_t> wait_us;
    for (size_t i = 0; i < batches_.size(); ++i) {
      const Batch& batch = *batches_[i];
      const Decision decision = decide(policy_, {.rows = batch.rows,
                                                 .sealed = batch.sealed,
                                                 .waited_us = micros(now - batch.oldest),
                                                 .executor_idle = true,
                                                 .draining = closed_});
      if (decision.close) return take(i, *decision.close, lock);
      if (decision.wait_us)
        wait_us = std::min(wait_us.value_or(*decision.wait_us), *decision.wait_us);
    }
    if (wait_us)
      changed_.wait_until(lock, now + std::chrono::microseconds(*wait_us));
    else
      changed_.wait(lock);
  }
}

std::unique_ptr<Batch> BatchQueue::take(size_t index, CloseReason reason,
                                        std::unique_lock<std::mutex>& lock) {
  std::unique_ptr<Batch> batch = std::move(batches_[index]);
  batches_.erase(batches_.begin() + static_cast<std::ptrdiff_t>(index));
  const BatchClock::time_point now = BatchClock::now();
  for (const Part& part : batch->parts) {
    Request& request = *part.request;
    if (request.rows_queued == request.rows)
      queue_us_[queue_us_count_++ % queue_us_.size()] =
          static_cast<float>(micros(now - request.submitted));
    request.rows_queued -= part.rows;
    if (request.rows_queued == 0) --waiting_;
  }
  if (!batch->alone) {
    ++stats_.batches;
    stats_.batched_rows += batch->rows;
    ++stats_.closed[static_cast<size_t>(reason)];
  }
  room_.notify_all();
  copied_.wait(lock, [&] { return batch->copying == 0; });
  return batch;
}

void BatchQueue::recycle(std::unique_ptr<Batch> batch) {
  batch->parts.clear();  // outside the lock: a request may hold the last share of its ticket
  batch->rows = 0;
  batch->sealed = false;
  if (batch->alone) return;
  const std::lock_guard lock(mutex_);
  if (spare_.size() == kMaxSpare) spare_.erase(spare_.begin());
  spare_.push_back(std::move(batch));
}

void BatchQueue::close(bool drain) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    abandoning_ = abandoning_ || !drain;
  }
  changed_.notify_all();
  room_.notify_all();
}

std::vector<std::shared_ptr<Request>> BatchQueue::take_abandoned() {
  std::unique_lock lock(mutex_);
  std::vector<std::shared_ptr<Request>> requests;
  for (const std::unique_ptr<Batch>& batch : batches_) {
    copied_.wait(lock, [&] { return batch->copying == 0; });
    for (const Part& part : batch->parts)
      if (std::exchange(part.request->rows_queued, 0) != 0) requests.push_back(part.request);
  }
  batches_.clear();
  waiting_ = 0;
  return requests;
}

BatchStats BatchQueue::stats() const {
  BatchStats stats;
  std::vector<float> times;
  {
    const std::lock_guard lock(mutex_);
    stats = stats_;
    stats.waiting = waiting_;
    times.assign(queue_us_.begin(), queue_us_.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                            queue_us_count_, queue_us_.size())));
  }
  const auto quantile = [&](double share) {
    if (times.empty()) return 0.0;
    const auto index =
        static_cast<std::ptrdiff_t>(share * static_cast<double>(times.size() - 1) + 0.5);
    std::nth_element(times.begin(), times.begin() + index, times.end());
    return static_cast<double>(times[static_cast<size_t>(index)]);
  };
  stats.queue_p50_us = quantile(0.5);
  stats.queue_p99_us = quantile(0.99);
  return stats;
}

}  // namespace sanderling
