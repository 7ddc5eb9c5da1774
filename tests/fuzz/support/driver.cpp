/// Runs a fuzz target without libFuzzer, for any compiler and with or without sanitizers:
///
///   fuzz_segment [--rounds N | --seconds S] [--seed N] [FILE | FOLDER]…
///
/// First the files given, whole and as they are, and the target's own seeds; then mutations of all of these. Each input
/// is copied into memory of exactly its size, so that AddressSanitizer sees one byte too far. An input that ends the
/// process is left in the working directory as crash-fuzz_segment, and is named.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <support/fuzz.hpp>
#include <support/mutator.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerInitialize(int* count, char*** words);
/// Of AddressSanitizer, where the program has it.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*)());

namespace {

using troupe::bytes;

const std::uint8_t* running_data = nullptr;
std::size_t running_size = 0;
char crash_file[256] = "crash";

/// Async-signal-safe.
void save_input() {
  if (running_data == nullptr) return;
  const int fd = ::open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  const bool whole = ::write(fd, running_data, running_size) == static_cast<ssize_t>(running_size);
  ::close(fd);
  running_data = nullptr;
  constexpr char said[] = "the input is in this file, to be kept in tests/fuzz/regressions once it is understood: ";
  if (whole && ::write(STDERR_FILENO, said, sizeof said - 1) > 0 &&
      ::write(STDERR_FILENO, crash_file, std::strlen(crash_file)) > 0)
    (void)!::write(STDERR_FILENO, "\n", 1);
}

void on_signal(int number) {
  save_input();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void run(const bytes& input) {
  const auto exact = std::make_unique<std::uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), exact.get());
  running_size = input.size();
  running_data = exact.get();
  LLVMFuzzerTestOneInput(exact.get(), input.size());
  running_data = nullptr;
}

bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file's bytes, or those of every file in a folder, by name.
void add_inputs(const std::filesystem::path& path, std::vector<bytes>& inputs) {
  if (!std::filesystem::is_directory(path)) return inputs.push_back(read_file(path));
  std::vector<std::filesystem::path> files;
  for (const auto& one : std::filesystem::directory_iterator(path))
    if (one.is_regular_file()) files.push_back(one.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) inputs.push_back(read_file(file));
}

[[noreturn]] void bad_usage(const char* program) {
  std::fprintf(stderr, "usage: %s [--rounds N | --seconds S] [--seed N] [FILE | FOLDER]...\n", program);
  std::exit(2);
}

}  // namespace

int main(int count, char** words) {
  LLVMFuzzerInitialize(&count, &words);
  std::uint64_t rounds = 0, seconds = 0, seed = 1;
  std::vector<bytes> inputs;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    auto* const number = word == "--rounds"    ? &rounds
                         : word == "--seconds" ? &seconds
                         : word == "--seed"    ? &seed
                                               : nullptr;
    if (number == nullptr) {
      if (word.starts_with("--") || !std::filesystem::exists(word)) bad_usage(words[0]);
      add_inputs(word, inputs);
      continue;
    }
    char* end = nullptr;
    if (++i == count || (*number = std::strtoull(words[i], &end, 10), *end != '\0')) bad_usage(words[0]);
  }
  std::snprintf(crash_file, sizeof crash_file, "crash-%s", std::filesystem::path(words[0]).filename().c_str());
  std::signal(SIGABRT, on_signal);
  if (__sanitizer_set_death_callback != nullptr)
    __sanitizer_set_death_callback(save_input);
  else
    std::signal(SIGSEGV, on_signal);

  const auto given = inputs.size();
  for (auto& good : troupe::fuzz::seeds()) inputs.push_back(std::move(good));
  for (const auto& input : inputs) run(input);

  const auto begin = std::chrono::steady_clock::now();
  const auto until = begin + std::chrono::seconds(seconds);
  troupe::fuzz::mutator damaged(seed, inputs);
  std::uint64_t done = 0;
  while (done < rounds || (done % 16 != 0 || std::chrono::steady_clock::now() < until)) {
    if (rounds != 0 && done == rounds) break;
    run(damaged.next());
    ++done;
  }
  std::printf("%zu inputs given, %zu seeds, then %llu mutations from seed %llu in %.1f s\n", given,
              inputs.size() - given, static_cast<unsigned long long>(done), static_cast<unsigned long long>(seed),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}
