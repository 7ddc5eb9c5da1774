#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

/// What the references share: files as memory, memory on huge pages, threads, a clock.
namespace reference {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A file in memory, for reading; a page more than the file may be read past its end.
struct mapped_file {
  const char* data = nullptr;
  std::size_t size = 0;

  explicit mapped_file(const char* path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (fd < 0 || fstat(fd, &status) != 0) {
      std::perror(path);
      std::exit(1);
    }
    size = static_cast<std::size_t>(status.st_size);
    auto* const room = static_cast<char*>(mmap(nullptr, size + 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (room == MAP_FAILED ||
        (size != 0 && mmap(room, size, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)) {
      std::perror("mmap");
      std::exit(1);
    }
    close(fd);
    data = room;
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
};

/// Zeroed, on huge pages.
template <class T>
class array {
 public:
  explicit array(std::size_t count) : count_(count) {
    const auto bytes = (count * sizeof(T) + (std::size_t{2} << 20)) & ~((std::size_t{2} << 20) - 1);
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    data_ = static_cast<T*>(memory);
    bytes_ = bytes;
  }
  array(array&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(other.count_), bytes_(other.bytes_) {}
  array& operator=(array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~array() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  T* begin() const { return data_; }
  T* end() const { return data_ + count_; }
  T& operator[](std::size_t i) const { return data_[i]; }
  std::size_t size() const { return count_; }

 private:
  T* data_;
  std::size_t count_;
  std::size_t bytes_;
};

/// f(0) … f(threads - 1), each on a thread.
template <class F>
void in_parallel(std::size_t threads, F f) {
  std::vector<std::thread> running;
  for (std::size_t t = 1; t < threads; ++t) running.emplace_back([&f, t] { f(t); });
  f(std::size_t{0});
  for (auto& thread : running) thread.join();
}

}  // namespace reference
