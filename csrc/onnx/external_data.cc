#include "onnx/external_data.h"

#include <algorithm>
#include <fstream>
#include <system_error>

#include "core/error.h"

namespace sanderling {

namespace fs = std::filesystem;

fs::path ExternalData::resolve(std::string_view location, std::string_view what) const {
  if (folder_.empty())
    fail(
        ErrorCode::kUnsupported, "[onnx] ", what, " keeps its data in another file '", location,
        "', and the model was not loaded from a file. Load it by its path, or save it as one file: "
        "onnx.save(model, path, save_as_external_data=False)");
  const auto refuse = [&](const auto&... why) {
    fail(ErrorCode::kModel, "[onnx] ", what, " keeps its data in '", location, "', ", why...,
         ". Data must lie in the model's folder");
  };
  const fs::path relative{std::string(location)};
  if (relative.empty() || relative.is_absolute()) refuse("which is no relative path");
  if (std::find(relative.begin(), relative.end(), "..") != relative.end())
    refuse("which leaves the model's folder");
  std::error_code error;
  const fs::path folder = fs::canonical(folder_, error);
  const fs::path file = error ? fs::path() : fs::canonical(folder / relative, error);
  if (error) refuse("which cannot be read: ", error.message());
  const auto [end, at] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  if (end != folder.end()) refuse("a link that leaves the model's folder");
  if (!fs::is_regular_file(file, error)) refuse("which is no file");
  return file;
}

int64_t ExternalData::size_from(std::string_view location, int64_t offset,
                                std::string_view what) const {
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(resolve(location, what), error));
  if (error || offset < 0 || offset > bytes)
    fail(ErrorCode::kModel, "[onnx] ", what, " begins at byte ", offset, " of '", location,
         "', which has ", error ? 0 : bytes, ". The file is not the one that belongs to the model");
  return bytes - offset;
}

void ExternalData::read(std::string_view location, int64_t offset, std::span<std::byte> to,
                        std::string_view what) const {
  const int64_t available = size_from(location, offset, what);
  if (available < static_cast<int64_t>(to.size()))
    fail(ErrorCode::kModel, "[onnx] ", what, " needs ", to.size(), " bytes from byte ", offset,
         " of '", location, "' on, there are ", available,
         ". The file is not the one that belongs to the model");
  std::ifstream file(resolve(location, what), std::ios::binary);
  file.seekg(offset);
  file.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size()));
  if (!file) fail(ErrorCode::kModel, "[onnx] ", what, ": '", location, "' cannot be read");
}

}  // namespace sanderling
