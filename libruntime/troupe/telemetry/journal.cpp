#include <algorithm>
#include <chrono>
#include <troupe/base/codec.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/record_keeper.hpp>

namespace troupe::telemetry {

namespace {
constexpr std::size_t event_text_bytes_max = 4096;
}  // namespace

std::int64_t now_unix_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

/// Apart from the journal, with a lock of its own, so that an observer may look into the journal and may be taken away
/// while another one runs.
struct journal::observers {
  std::mutex mutex;
  std::uint64_t next_key = 0;
  std::map<std::uint64_t, std::function<void(const event&)>> by_key;
};

journal::journal(std::size_t capacity) : capacity_(capacity), observers_(std::make_shared<observers>()) {}
journal::~journal() = default;

result<void> journal::keep(record_keeper& keeper, const std::string& path) {
  const std::lock_guard lock(mutex_);
  TROUPE_TRY_VOID(record_file::read(path, [this](bytes_view record) {
    auto e = codec::decode<event>(record, "an event");
    if (!e || e->id < next_id_) return;
    // Ids have no gaps in memory: what could not be kept is not known, and neither is what came before it.
    if (e->id != next_id_) events_.clear();
    next_id_ = e->id + 1;
    events_.push_back(std::move(*e));
    if (events_.size() > capacity_) events_.pop_front();
  }));
  keeper_ = &keeper;
  path_ = path;
  return ok();
}

std::uint64_t journal::append(std::string_view kind, std::string_view node, std::string_view text,
                              std::map<std::string, std::string> fields) {
  event made{0,
             now_unix_ms(),
             std::string(kind),
             std::string(node),
             std::string(text.substr(0, event_text_bytes_max)),
             std::move(fields)};
  {
    const std::lock_guard lock(mutex_);
    made.id = next_id_++;
    // A clock that is set back does not make the journal go back.
    if (!events_.empty()) made.time_unix_ms = std::max(made.time_unix_ms, events_.back().time_unix_ms);
    events_.push_back(made);
    if (events_.size() > capacity_) events_.pop_front();
    if (keeper_ != nullptr) keeper_->append(path_, codec::encode(made));
  }
  const std::lock_guard lock(observers_->mutex);
  for (const auto& [key, f] : observers_->by_key) f(made);
  return made.id;
}

std::vector<event> journal::after(std::uint64_t id, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return {};
  // Ids have no gaps, so an id's place follows from the first one's.
  const auto first = events_.front().id;
  const auto skip = id < first ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(id - first + 1, events_.size()));
  const auto count = std::min(limit, events_.size() - skip);
  const auto begin = events_.begin() + static_cast<std::ptrdiff_t>(skip);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

std::uint64_t journal::last_id() const {
  const std::lock_guard lock(mutex_);
  return next_id_ - 1;
}

std::function<void()> journal::observe(std::function<void(const event&)> f) {
  const std::lock_guard lock(observers_->mutex);
  const auto key = observers_->next_key++;
  observers_->by_key.emplace(key, std::move(f));
  return [weak = std::weak_ptr(observers_), key] {
    if (const auto still = weak.lock()) {
      const std::lock_guard guard(still->mutex);
      still->by_key.erase(key);
    }
  };
}

}  // namespace troupe::telemetry
