// Tensors whose elements lie in files beside the model's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace sanderling {

class ExternalData {
 public:
  // For a model that is not a file: it has none.
  ExternalData() = default;
  // `folder` is the model's; nothing outside of it is read, whatever a model says.
  explicit ExternalData(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Fills `to` from a file. Throws kUnsupported without a folder, kModel for a location that is
  // absolute, leaves the folder (also by a link), is no file or is too short; `what` names the
  // tensor.
  void read(std::string_view location, int64_t offset, std::span<std::byte> to,
            std::string_view what) const;
  // How many bytes read() would have from `offset` on.
  int64_t size_from(std::string_view location, int64_t offset, std::string_view what) const;

 private:
  std::filesystem::path resolve(std::string_view location, std::string_view what) const;

  std::filesystem::path folder_;
};

}  // namespace sanderling
