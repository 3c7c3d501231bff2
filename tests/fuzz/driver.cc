// Stands in for libFuzzer where there is no clang: the same entry points and the same flags, of
// which it knows
//   -max_total_time=SECONDS  -runs=N  -seed=N  -max_len=BYTES  FOLDER_OR_FILE...
// It runs every file, then mutants until the time or the runs are used up; a mutant that reaches a
// new edge (GCC's -fsanitize-coverage=trace-pc) joins the pool. The same seed gives the same
// mutants. On a finding it saves the input as crash-SEED-RUN in the working folder; giving that
// file as the only argument with -runs=0 replays it.

#include <sanitizer/common_interface_defs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                                                size_t max_size, unsigned int seed);
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// The engine must never ask for much more than the file holds, and no input may stall it. The
// sanitizer's runtime is a shared library: hidden, as the build's symbols are, this would be
// ignored without a word.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "max_allocation_size_mb=256:hard_rss_limit_mb=2048:detect_leaks=1";
}

namespace {

using Bytes = std::vector<uint8_t>;

struct Options {
  double max_total_time = 10;
  uint64_t runs = ~uint64_t{0};
  uint32_t seed = 1;
  size_t max_len = 16384;
  std::vector<std::filesystem::path> paths;
};

// Which edges were ever taken, by a hash of the last two program counters.
constexpr size_t kEdges = size_t{1} << 18;
std::array<uint8_t, kEdges> seen_edges;
size_t edges = 0;
bool found_edge = false;
uintptr_t previous_counter = 0;

std::mt19937_64 random_bits;
size_t below(size_t limit) { return static_cast<size_t>(random_bits() % limit); }

Bytes current;  // what runs now, for the finding's file
uint64_t current_run = 0;
uint32_t current_seed = 0;

void save_current() {
  static bool saved = false;
  if (std::exchange(saved, true)) return;
  const std::string name =
      "crash-" + std::to_string(current_seed) + "-" + std::to_string(current_run);
  std::ofstream(name, std::ios::binary)
      .write(reinterpret_cast<const char*>(current.data()),
             static_cast<std::streamsize>(current.size()));
  std::fprintf(stderr, "driver: input saved as %s (%zu bytes)\n", name.c_str(), current.size());
}

void on_signal(int signal) {
  if (signal == SIGALRM) std::fprintf(stderr, "driver: one input runs longer than %d s\n", 300);
  save_current();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// True if the input reached an edge that none before it did.
bool run_one(const Bytes& input) {
  // A block of exactly this size, so that the sanitizer sees a read past the end.
  current = Bytes(input.begin(), input.end());
  current.shrink_to_fit();
  found_edge = false;
  previous_counter = 0;
  ::alarm(300);
  LLVMFuzzerTestOneInput(current.data(), current.size());
  ++current_run;
  return found_edge;
}

Bytes crossed(const Bytes& a, const Bytes& b) {
  Bytes child(a.begin(), a.begin() + static_cast<long>(below(a.size() + 1)));
  child.insert(child.end(), b.begin() + static_cast<long>(below(b.size() + 1)), b.end());
  return child;
}

Bytes mutant(const std::vector<Bytes>& pool, size_t max_len) {
  // Half of the time one of the newest, which lie behind the doors opened last.
  const size_t newest = std::min<size_t>(pool.size(), 32);
  const auto pick = [&]() -> const Bytes& {
    return pool[below(2) ? below(pool.size()) : pool.size() - 1 - below(newest)];
  };
  Bytes child = below(16) == 0 ? crossed(pick(), pick()) : pick();
  for (size_t times = 1 + below(4); times > 0; --times) {
    const size_t size = std::min(child.size(), max_len);
    child.resize(max_len);
    const size_t mutated = LLVMFuzzerCustomMutator
                               ? LLVMFuzzerCustomMutator(child.data(), size, max_len,
                                                         static_cast<unsigned>(random_bits()))
                               : LLVMFuzzerMutate(child.data(), size, max_len);
    child.resize(mutated);
  }
  return child;
}

void read_file(const std::filesystem::path& path, std::vector<Bytes>& inputs) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "driver: cannot read %s\n", path.c_str());
    std::exit(2);
  }
  inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::vector<Bytes> read_inputs(const Options& options) {
  std::vector<Bytes> inputs;
  for (const auto& path : options.paths) {
    if (!std::filesystem::is_directory(path)) {
      read_file(path, inputs);
      continue;
    }
    std::vector<std::filesystem::path> files;  // sorted: the order must not depend on the disk
    for (const auto& entry : std::filesystem::directory_iterator(path))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) read_file(file, inputs);
  }
  return inputs;
}

Options parse_arguments(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const size_t equals = argument.find('=');
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const std::string flag = argument.substr(0, equals);
    if (argument[0] != '-')
      options.paths.emplace_back(argument);
    else if (flag == "-max_total_time")
      options.max_total_time = std::stod(value);
    else if (flag == "-runs")
      options.runs = std::stoull(value);
    else if (flag == "-seed")
      options.seed = static_cast<uint32_t>(std::stoul(value));
    else if (flag == "-max_len")
      options.max_len = std::stoull(value);
    else {
      std::fprintf(stderr, "driver: unknown flag %s\n", argument.c_str());
      std::exit(2);
    }
  }
  return options;
}

}  // namespace

// Called by the instrumented code at every edge; this file is not instrumented. Counters are taken
// relative to this function, so that an executable at another address behaves the same.
extern "C" __attribute__((visibility("default"), no_sanitize("address", "undefined"))) void
__sanitizer_cov_trace_pc() {
  const auto counter = reinterpret_cast<uintptr_t>(__builtin_return_address(0)) -
                       reinterpret_cast<uintptr_t>(&__sanitizer_cov_trace_pc);
  const size_t edge = ((counter ^ (previous_counter << 1)) * 0x9E3779B97F4A7C15u) >> (64 - 18);
  previous_counter = counter;
  if (seen_edges[edge]) return;
  seen_edges[edge] = 1;
  ++edges;
  found_edge = true;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  Bytes bytes(data, data + size);
  const size_t at = below(size + 1);
  const size_t length = std::min<size_t>(1 + below(32), size - at);
  const auto begin = bytes.begin() + static_cast<long>(at);
  switch (below(7)) {
    case 0:  // bit flip
      if (at < size) bytes[at] ^= static_cast<uint8_t>(1u << below(8));
      break;
    case 1:  // any byte
      if (at < size) bytes[at] = static_cast<uint8_t>(random_bits());
      break;
    case 2:  // truncation
      bytes.resize(at);
      break;
    case 3:  // removal
      bytes.erase(begin, begin + static_cast<long>(length));
      break;
    case 4: {  // duplication
      const Bytes piece(begin, begin + static_cast<long>(length));
      bytes.insert(bytes.begin() + static_cast<long>(below(size + 1)), piece.begin(), piece.end());
      break;
    }
    case 5:  // a byte that ends a number now goes on, or the other way round
      if (at < size) bytes[at] ^= 0x80;
      break;
    case 6:  // a length or count grows or shrinks a little
      if (at < size) bytes[at] = static_cast<uint8_t>(bytes[at] + below(9) - 4);
      break;
  }
  bytes.resize(std::min(bytes.size(), max_size));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

int main(int count, char** arguments) {
  const Options options = parse_arguments(count, arguments);
  current_seed = options.seed;
  random_bits.seed(options.seed);
  __sanitizer_set_death_callback(save_current);
  for (int signal : {SIGABRT, SIGALRM}) std::signal(signal, on_signal);

  std::vector<Bytes> pool = read_inputs(options);
  for (const Bytes& input : pool) run_one(input);
  const size_t given = pool.size();
  if (pool.empty()) pool.emplace_back();

  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  uint64_t runs = 0;
  for (; runs < options.runs && elapsed() < options.max_total_time; ++runs) {
    Bytes input = mutant(pool, options.max_len);
    if (run_one(input)) pool.push_back(std::move(input));
  }
  ::alarm(0);
  std::printf(
      "driver: seed %u, %zu files, %llu mutants in %.1f s, %zu edges, %zu inputs kept, no "
      "finding\n",
      options.seed, given, static_cast<unsigned long long>(runs), elapsed(), edges,
      pool.size() - given);
  return 0;
}
