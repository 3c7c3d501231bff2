#include "plan/storage.h"

namespace sanderling {

Storage::Storage(size_t values) {
  for (size_t id = 0; id < values; ++id) into_.push_back({static_cast<ValueId>(id), 0});
}

Storage::Place Storage::place(ValueId id) const {
  // Values put into each other one by one make long chains: each walk shortens what it passes.
  std::vector<ValueId> passed;
  ValueId root = id;
  while (into_[static_cast<size_t>(root)].root != root) {
    passed.push_back(root);
    root = into_[static_cast<size_t>(root)].root;
  }
  size_t offset = 0;
  for (auto value = passed.rbegin(); value != passed.rend(); ++value) {
    Place& place = into_[static_cast<size_t>(*value)];
    offset += place.offset;
    place = {root, offset};
  }
  return {root, offset};
}

void Storage::put(ValueId id, ValueId into, size_t offset) {
  const Place place = this->place(into);
  SANDERLING_ASSERT(into_[static_cast<size_t>(id)].root == id && place.root != id, id, into);
  into_[static_cast<size_t>(id)] = {place.root, place.offset + offset};
}

}  // namespace sanderling
