#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace sanderling {

// A whole file, mapped read-only for as long as the object lives. Move-only.
class MappedFile {
 public:
  // Throws kInput if the path is missing, is no regular file or cannot be read, and kModel if the
  // file is empty.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  // A file that another process cuts short while it is mapped raises SIGBUS on access: replace
  // model files by rename.
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sanderling
