#include "plan/share_storage.h"

#include <algorithm>
#include <limits>
#include <set>

namespace sanderling {
namespace {

// What is known of each buffer, by the value that is its root, while values are put together.
class Buffers {
 public:
  struct Use {
    int last = -1;     // step
    int readers = 0;   // steps that read something of it
    bool own = false;  // made by steps alone: no constant, no input of the program
    bool result = false;
  };

  explicit Buffers(PlannedSteps& planned) : planned_(planned), uses_(planned.graph.values.size()) {
    for (size_t s = 0; s < planned.steps.size(); ++s) {
      for (ValueId id : planned.steps[s].inputs)
        if (id != kNoValue) ++touch(id, static_cast<int>(s)).readers;
      for (ValueId id : planned.steps[s].outputs)
        if (id != kNoValue) touch(id, static_cast<int>(s)).own = true;
    }
    for (ValueId id : planned.results) {
      touch(id, std::numeric_limits<int>::max());
      of(id).result = true;
    }
    for (ValueId id : planned.given)
      if (id != kNoValue) of(id).own = false;
    for (size_t id = 0; id < uses_.size(); ++id)
      if (planned.types.known(static_cast<ValueId>(id))) uses_[id].own = false;
  }

  Use& of(ValueId id) { return uses_[static_cast<size_t>(planned_.storage.root(id))]; }

  // Whether the value is all of its buffer.
  bool fills(ValueId id) const {
    const Storage::Place place = planned_.storage.place(id);
    return place.offset == 0 && planned_.bytes(place.root) == planned_.bytes(id);
  }

  // Integer kernels read past the end of codes (kSlackBytes). Where others are computed right there
  // that would be a race, though one whose loser nobody looks at; and the array of a caller ends.
  bool may_be_within(ValueId id) {
    return size_of(planned_.types.type(id).dtype) > 1 || of(id).readers == 1;
  }

  void put(ValueId id, ValueId into, size_t offset) {
    const Use use = of(id);
    planned_.storage.put(planned_.storage.root(id), into, offset);
    Use& all = of(into);
    all.last = std::max(all.last, use.last);
    all.readers += use.readers;
  }

 private:
  Use& touch(ValueId id, int step) {
    Use& use = of(id);
    use.last = std::max(use.last, step);
    return use;
  }

  PlannedSteps& planned_;
  std::vector<Use> uses_;
};

class JoinPieces {
 public:
  explicit JoinPieces(PlannedSteps& planned) : planned_(planned), buffers_(planned) {}

  void run() {
    std::vector<PlannedStep> steps;
    steps.swap(planned_.steps);
    maker_.assign(planned_.graph.values.size(), -1);
    for (PlannedStep& step : steps)
      if (step.piece_offsets.empty() || !join(step)) add(std::move(step));
  }

 private:
  void add(PlannedStep step) {
    for (ValueId id : step.outputs)
      if (id != kNoValue) maker(id) = static_cast<int>(planned_.steps.size());
    planned_.steps.push_back(std::move(step));
  }
  int& maker(ValueId id) { return maker_[static_cast<size_t>(planned_.storage.root(id))]; }

  bool joins(ValueId piece) {
    const Buffers::Use& use = buffers_.of(piece);
    return use.own && !use.result && buffers_.fills(piece) && buffers_.may_be_within(piece);
  }

  // Puts the pieces into their places; false if that would leave more to copy than it saves.
  bool join(const PlannedStep& step) {
    const ValueId whole = step.outputs[0];
    std::vector<size_t> joined, copied;
    std::set<ValueId> roots;
    size_t copied_bytes = 0;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const ValueId piece = step.inputs[i];
      if (planned_.bytes(piece) == 0) continue;
      if (joins(piece) && roots.insert(planned_.storage.root(piece)).second) {
        joined.push_back(i);
      } else {
        copied.push_back(i);
        copied_bytes += planned_.bytes(piece);
      }
    }
    if (joined.empty() || 2 * copied_bytes > planned_.bytes(whole)) return false;
    int last = -1;
    for (size_t i : joined) {
      last = std::max(last, maker(step.inputs[i]));
      buffers_.put(step.inputs[i], whole, step.piece_offsets[i]);
    }
    for (size_t i : copied) add(copy_of(step, i));
    if (!copied.empty()) last = static_cast<int>(planned_.steps.size()) - 1;
    std::vector<ValueId>& completes = planned_.steps[static_cast<size_t>(last)].completes;
    completes.push_back(whole);
    completes.insert(completes.end(), step.completes.begin(), step.completes.end());
    maker(whole) = last;
    return true;
  }

  PlannedStep copy_of(const PlannedStep& step, size_t input) const {
    PlannedStep copy = copy_step(step.node, step.inputs[input], step.outputs[0],
                                 planned_.bytes(step.inputs[input]));
    copy.part_offset = step.piece_offsets[input];
    return copy;
  }

  PlannedSteps& planned_;
  Buffers buffers_;
  std::vector<int> maker_;  // the step that last wrote to a root
};

class WriteInPlace {
 public:
  WriteInPlace(PlannedSteps& planned, const std::vector<ValueId>& fixed)
      : planned_(planned), buffers_(planned), fixed_(planned.graph.values.size(), false) {
    for (ValueId id : fixed) fixed_[static_cast<size_t>(planned.storage.root(id))] = true;
  }

  void run() {
    for (size_t s = 0; s < planned_.steps.size(); ++s) {
      const PlannedStep& step = planned_.steps[s];
      if (!step.writes_in_place) continue;
      const size_t inputs = std::min<size_t>(step.inputs.size(), 2);
      for (size_t i = 0; i < inputs; ++i) {
        if (!can_overwrite(static_cast<int>(s), step, i)) continue;
        buffers_.put(step.inputs[i], step.outputs[0], 0);
        break;
      }
    }
  }

 private:
  bool can_overwrite(int s, const PlannedStep& step, size_t i) {
    const ValueId x = step.inputs[i], y = step.outputs[0];
    if (x == kNoValue || y == kNoValue) return false;
    const Buffers::Use& use = buffers_.of(x);
    if (!use.own || use.result || use.last != s || !buffers_.fills(x)) return false;
    const TensorType& from = planned_.types.type(x);
    const TensorType& to = planned_.types.type(y);
    if (size_of(from.dtype) != size_of(to.dtype) || from.bytes() != to.bytes()) return false;
    if (fixed_[static_cast<size_t>(planned_.storage.root(y))]) return false;
    if (!buffers_.fills(y) && !buffers_.may_be_within(x)) return false;
    for (size_t k = 0; k < step.inputs.size(); ++k)
      if (k != i && step.inputs[k] != kNoValue && !reads_alike(step.inputs[k], x, k)) return false;
    return true;
  }

  // Whether an input does not lie where y is written, or is read there element by element as x is.
  bool reads_alike(ValueId other, ValueId x, size_t k) const {
    const Storage::Place place = planned_.storage.place(other);
    if (place.root != planned_.storage.root(x)) return true;
    // A sum of three writes its first two before it reads the third.
    return k < 2 && place == planned_.storage.place(x) &&
           planned_.bytes(other) == planned_.bytes(x);
  }

  PlannedSteps& planned_;
  Buffers buffers_;
  std::vector<bool> fixed_;  // roots
};

}  // namespace

void join_pieces(PlannedSteps& planned) { JoinPieces(planned).run(); }

void write_in_place(PlannedSteps& planned, const std::vector<ValueId>& fixed) {
  WriteInPlace(planned, fixed).run();
}

}  // namespace sanderling
