#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace sanderling {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const std::string name = cat("'", path.string(), "'");
  // O_NONBLOCK: opening a named pipe must not wait for its writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    const int reason = errno;
    if (reason == ENOENT || reason == ENOTDIR) {
      std::error_code no_folder;  // it may have been deleted under us; then the hint is empty
      const auto folder = std::filesystem::current_path(no_folder).string();
      fail(ErrorCode::kInput, "[file] ", name,
           " does not exist. Check the path; the working folder is '", folder, "'");
    }
    fail(ErrorCode::kInput, "[file] ", name, " cannot be opened: ", std::strerror(reason));
  }
  struct stat status{};
  if (::fstat(file.fd, &status) != 0)
    fail(ErrorCode::kInput, "[file] ", name, " cannot be examined: ", std::strerror(errno));
  if (S_ISDIR(status.st_mode))
    fail(ErrorCode::kInput, "[file] ", name, " is a folder. Give the path of a file in it");
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::kInput, "[file] ", name, " is no regular file");
  if (status.st_size == 0)
    fail(ErrorCode::kModel, "[file] ", name, " is empty. Was it fully written or downloaded?");
  const auto size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED)
    fail(ErrorCode::kInput, "[file] ", name, " of ", size,
         " bytes cannot be mapped: ", std::strerror(errno));
  data_ = static_cast<const std::byte*>(data);
  size_ = size;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace sanderling
