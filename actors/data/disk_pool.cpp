#include <pthread.h>
#include <actors/data/disk_pool.hpp>

namespace troupe::data {

disk_pool::disk_pool(unsigned threads, std::size_t queued_max) : queued_max_(queued_max) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { work(); });
    pthread_setname_np(threads_.back().native_handle(), "data-disk");
  }
}

disk_pool::~disk_pool() { close(); }

bool disk_pool::post(std::function<void()>&& task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || queue_.size() >= queued_max_) return false;
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void disk_pool::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

void disk_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds goes outside the lock
    lock.lock();
  }
}

}  // namespace troupe::data
