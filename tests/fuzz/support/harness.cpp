/// Between libFuzzer (or the driver) and a target: measures memory, and writes the seeds as files.
///
/// Every operator new of the program comes through here. While a target runs, one that goes beyond its limit ends the
/// process where it stands, so that the stack shows which length was believed.
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <support/fuzz.hpp>

namespace {

// Of this thread, so that libFuzzer's own threads do not count.
thread_local bool measuring = false;
thread_local std::size_t held_bytes = 0;  ///< since the input began; what was there before may be freed meanwhile
thread_local std::size_t held_bytes_max = 0;

void* take_or_nothing(std::size_t size) noexcept {
  if (measuring && size > held_bytes_max - std::min(held_bytes, held_bytes_max)) {
    measuring = false;
    troupe::invariant_failed("memory in proportion to the input", __FILE__, __LINE__,
                             std::to_string(size) + " bytes more, with " + std::to_string(held_bytes) +
                                 " held and at most " + std::to_string(held_bytes_max) + " allowed");
  }
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (measuring && memory != nullptr) held_bytes += malloc_usable_size(memory);
  return memory;
}

void* take(std::size_t size) {
  void* const memory = take_or_nothing(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void give_back(void* memory) noexcept {
  if (measuring && memory != nullptr) held_bytes -= std::min(held_bytes, malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
// AddressSanitizer's own do not come through the ones above.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return take_or_nothing(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return take_or_nothing(size); }
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { give_back(memory); }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  held_bytes = 0;
  held_bytes_max = troupe::fuzz::memory_bytes_max(size);
  measuring = true;
  troupe::fuzz::one_input({reinterpret_cast<const char*>(data), size});
  measuring = false;
  return 0;
}

/// With TROUPE_FUZZ_SEEDS_TO=FOLDER in the environment: writes the seeds there and ends.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* const folder = std::getenv("TROUPE_FUZZ_SEEDS_TO");
  if (folder == nullptr) return 0;
  std::size_t number = 0;
  for (const auto& seed : troupe::fuzz::seeds()) {
    std::ofstream file(std::string(folder) + "/seed-" + std::to_string(number++), std::ios::binary);
    file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write seeds to %s\n", folder);
      std::exit(1);
    }
  }
  std::exit(0);
}
