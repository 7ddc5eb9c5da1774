#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::sdk {

/// Zeroed memory from the operating system, on huge pages where it gives them: a table of random accesses would
/// otherwise miss the TLB at each.
class mapped_memory {
 public:
  static constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

  mapped_memory() = default;
  explicit mapped_memory(std::size_t bytes) {
    // From a huge page's border on, or the kernel gives none at either end: map more, give back what stands over.
    const std::size_t over = bytes >= huge_page_bytes ? huge_page_bytes : 0;
    void* const raw = ::mmap(nullptr, bytes + over, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    char* const begin = static_cast<char*>(raw);
    const std::size_t before =
        over == 0 ? 0 : (huge_page_bytes - reinterpret_cast<std::uintptr_t>(begin) % huge_page_bytes) % huge_page_bytes;
    const std::size_t pages = (bytes + 4095) & ~std::size_t{4095};
    if (before != 0) ::munmap(begin, before);
    if (over != 0 && begin + before + pages < begin + bytes + over) ::munmap(begin + before + pages, over - before);
    data_ = begin + before;
    bytes_ = bytes;
    ::madvise(data_, bytes_, MADV_HUGEPAGE);  // best effort
  }
  mapped_memory(mapped_memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  mapped_memory& operator=(mapped_memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mapped_memory() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Huge pages that sorts and shuffles gave back, kept for the next ones of this process: the kernel clears a page
/// before it gives it out, and that was a quarter of a sort's time. What they hold is not zero. From any thread.
class kept_pages {
 public:
  /// How much is kept at most; what is more goes back at once. Follows from the memory of the task that runs.
  static void limit(std::uint64_t bytes) noexcept {
    const std::lock_guard lock(mutex());
    pages_max() = static_cast<std::size_t>(bytes / mapped_memory::huge_page_bytes);
    while (pages().size() > pages_max()) {
      const mapped_memory gone = std::move(pages().back());
      pages().pop_back();
    }
  }
  static mapped_memory take() {
    {
      const std::lock_guard lock(mutex());
      if (!pages().empty()) {
        auto out = std::move(pages().back());
        pages().pop_back();
        return out;
      }
    }
    return mapped_memory(mapped_memory::huge_page_bytes);
  }
  static void give(mapped_memory page) noexcept {
    if (page.size() != mapped_memory::huge_page_bytes) return;
    const std::lock_guard lock(mutex());
    if (pages().size() >= pages_max()) return;
    try {
      pages().push_back(std::move(page));
    } catch (const std::bad_alloc&) {  // then it is not kept
    }
  }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::vector<mapped_memory>& pages() {
    static std::vector<mapped_memory> one;
    return one;
  }
  static std::size_t& pages_max() {
    static std::size_t one = 0;
    return one;
  }
};

/// Bytes that stay where they are until `clear`, which keeps the memory. The first piece is 1 MiB, the others are a
/// huge page each; a larger string gets a piece of its own.
class byte_arena {
 public:
  byte_arena() = default;
  byte_arena(byte_arena&& other) noexcept { *this = std::move(other); }
  ~byte_arena() { give_back(); }
  byte_arena& operator=(byte_arena&& other) noexcept {
    if (this == &other) return *this;
    give_back();
    pieces_ = std::move(other.pieces_);
    large_ = std::move(other.large_);
    next_ = std::exchange(other.next_, 0);
    at_ = std::exchange(other.at_, nullptr);
    left_ = std::exchange(other.left_, 0);
    used_ = std::exchange(other.used_, 0);
    return *this;
  }

  static constexpr std::size_t piece_bytes = std::size_t{1} << 20;

  /// Room for `size` bytes, not aligned.
  char* allocate(std::size_t size) {
    if (size > left_) [[unlikely]]
      grow(size);
    char* const out = at_;
    at_ += size;
    left_ -= size;
    used_ += size;
    return out;
  }
  const char* copy(std::string_view bytes) {
    char* const out = allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
    return out;
  }
  /// Given out since the last `clear`.
  [[nodiscard]] std::size_t used() const noexcept { return used_; }
  void clear() noexcept {
    large_.clear();
    next_ = 0;
    at_ = nullptr;
    left_ = used_ = 0;
  }

 private:
  void grow(std::size_t size) {
    if (size > piece_bytes) {
      large_.emplace_back(size);
      at_ = static_cast<char*>(large_.back().data());
      left_ = size;
      return;
    }
    if (next_ == pieces_.size()) pieces_.push_back(next_ == 0 ? mapped_memory(piece_bytes) : kept_pages::take());
    at_ = static_cast<char*>(pieces_[next_].data());
    left_ = pieces_[next_++].size();
  }
  void give_back() noexcept {
    for (auto& piece : pieces_) kept_pages::give(std::move(piece));
    pieces_.clear();
  }
  std::vector<mapped_memory> pieces_;
  std::vector<mapped_memory> large_;
  std::size_t next_ = 0;
  char* at_ = nullptr;
  std::size_t left_ = 0;
  std::size_t used_ = 0;
};

}  // namespace troupe::sdk
