#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace sanderling {

// A whole file, mapped read-only for as long as the object lives.
class MappedFile {
 public:
  // Maps what the descriptor is open for; the caller may close it afterwards. Nothing if it is no
  // regular file, is empty or cannot be mapped.
  static std::shared_ptr<const MappedFile> of(int descriptor);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // A file that is cut short while it is mapped raises SIGBUS on access: files that are mapped are
  // only ever replaced by rename.
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}

  const std::byte* data_;
  size_t size_;
};

}  // namespace sanderling
