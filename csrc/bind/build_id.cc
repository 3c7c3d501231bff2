#include "bind/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <span>

namespace sanderling {
namespace {

std::string hexadecimal(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

size_t padded(size_t bytes) { return (bytes + 3) / 4 * 4; }

// The notes of a loaded segment: header, name, content, each padded to 4 bytes.
std::string find_note(const uint8_t* at, size_t size) {
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const size_t name_at = sizeof(note), content_at = name_at + padded(note.n_namesz);
    const size_t end = content_at + padded(note.n_descsz);
    if (end > size) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
        std::memcmp(at + name_at, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0)
      return hexadecimal({at + content_at, note.n_descsz});
    at += end;
    size -= end;
  }
  return {};
}

struct Search {
  uintptr_t address;  // something in the object that is looked for
  std::string found;
};

int look(dl_phdr_info* object, size_t /*size*/, void* data) {
  auto& search = *static_cast<Search*>(data);
  const std::span segments(object->dlpi_phdr, object->dlpi_phnum);
  bool ours = false;
  for (const ElfW(Phdr) & segment : segments)
    if (segment.p_type == PT_LOAD &&
        search.address - object->dlpi_addr - segment.p_vaddr < segment.p_memsz)
      ours = true;
  if (!ours) return 0;
  for (const ElfW(Phdr) & segment : segments)
    if (segment.p_type == PT_NOTE && search.found.empty())
      search.found = find_note(
          reinterpret_cast<const uint8_t*>(object->dlpi_addr + segment.p_vaddr), segment.p_memsz);
  return 1;
}

}  // namespace

std::string build_id() {
  static const char here = 0;
  Search search{reinterpret_cast<uintptr_t>(&here), {}};
  dl_iterate_phdr(look, &search);
  return search.found;
}

}  // namespace sanderling
