#include <algorithm>
#include <chrono>
#include <troupe/telemetry/record_keeper.hpp>
#include <utility>

namespace troupe::telemetry {

namespace {
constexpr std::size_t order_bytes = 128;  ///< what an order costs beside its record
constexpr auto complaint_interval = std::chrono::seconds(10);
}  // namespace

record_keeper::record_keeper(options limits, std::function<void(const std::string&)> complain)
    : limits_(limits), complain_(std::move(complain)), thread_([this] { work(); }) {}

record_keeper::~record_keeper() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void record_keeper::append(std::string path, bytes record) {
  {
    const std::lock_guard lock(mutex_);
    const auto size = record.size() + order_bytes;
    if (waiting_bytes_ + size > limits_.waiting_bytes_max) {
      ++dropped_;
      return;
    }
    waiting_bytes_ += size;
    waiting_.push_back({std::move(path), std::move(record), false});
  }
  changed_.notify_one();
}

void record_keeper::remove(std::string path) {
  {
    const std::lock_guard lock(mutex_);
    waiting_bytes_ += order_bytes;  // bounded by what there is to be removed
    waiting_.push_back({std::move(path), {}, true});
  }
  changed_.notify_one();
}

void record_keeper::work() {
  for (;;) {
    std::deque<order> batch;
    std::uint64_t dropped = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch.swap(waiting_);
      waiting_bytes_ = 0;
      dropped = std::exchange(dropped_, 0);
    }
    if (dropped > 0) tell(std::to_string(dropped) + " records came faster than the disk takes them, and were not kept");
    for (const auto& what : batch)
      if (const auto done = carry_out(what); !done) tell(done.error().message());
  }
}

result<void> record_keeper::carry_out(const order& what) {
  auto at = std::find_if(open_.begin(), open_.end(), [&](const opened& o) { return o.path == what.path; });
  if (what.remove) {
    if (at != open_.end()) open_.erase(at);
    record_file::remove(what.path);
    return ok();
  }
  if (at == open_.end()) {
    TROUPE_TRY(auto file, record_file::open(what.path, limits_.file_bytes_max));
    open_.push_front({what.path, std::move(file)});
    if (open_.size() > limits_.open_files_max) open_.pop_back();
  } else {
    open_.splice(open_.begin(), open_, at);
  }
  return open_.front().file.append(what.record);
}

void record_keeper::tell(const std::string& trouble) {
  const auto now = std::chrono::steady_clock::now();
  if (now < quiet_until_) return;
  quiet_until_ = now + complaint_interval;
  complain_(trouble);
}

}  // namespace troupe::telemetry
