#pragma once
#include <functional>
#include <mutex>
#include <troupe/dataflow/block_store_impl.hpp>
#include <vector>

namespace troupe::dataflow {

/// Part of block_store_impl's .cpp files only: the mutex, and what must run after it is free (callbacks, which may call
/// back into the store).
class block_store_impl::section {
 public:
  explicit section(const block_store_impl& store) : lock_(store.mutex_) {}
  ~section() {
    lock_.unlock();
    for (auto& f : later_) f();
  }
  section(const section&) = delete;
  section& operator=(const section&) = delete;
  void after(std::function<void()> f) { later_.push_back(std::move(f)); }

 private:
  std::unique_lock<std::mutex> lock_;
  std::vector<std::function<void()>> later_;
};

}  // namespace troupe::dataflow
