#include <actors/cluster/metadata_disk.hpp>

namespace troupe::actors {

metadata_disk::metadata_disk(storage::metadata_log log) : log_(std::move(log)), thread_([this] { loop(); }) {}

metadata_disk::~metadata_disk() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void metadata_disk::run(std::function<void(storage::metadata_log&)> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void metadata_disk::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work(log_);
    lock.lock();
  }
}

}  // namespace troupe::actors
