// Which values share bytes: each is in a buffer of its own, or somewhere within another value.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace sanderling {

class Storage {
 public:
  struct Place {
    ValueId root;   // the value that has the buffer
    size_t offset;  // in bytes
    bool operator==(const Place&) const = default;
  };

  explicit Storage(size_t values);
  Place place(ValueId id) const;
  ValueId root(ValueId id) const { return place(id).root; }
  // Puts a value that is its own root, and all that is in it, into another one.
  void put(ValueId id, ValueId into, size_t offset);

 private:
  mutable std::vector<Place> into_;  // the value itself if it is a root
};

}  // namespace sanderling
